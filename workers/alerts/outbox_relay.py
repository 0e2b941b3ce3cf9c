"""Delivery: sends what waits in the outbox. At least once, always under the same idempotency key.

A row is leased before it is sent, outside any transaction, so a slow channel holds no lock; a crash after sending and before the
mark sends it again once the lease is over. What could not be sent is tried again, at longer and longer intervals.

A new row is leased by the transaction that writes it, and sent by that very process as soon as it is committed: no doorbell, no look
into the outbox is in its way. The lane sends the others: what failed, what a worker left that died, what one had no room for.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, case, func, or_, select, tuple_, update

from schemas.tasks import DELIVER_QUEUE
from workers.alerts.channels import Channels
from workers.consumers.notifier import Notifier
from workers.consumers.single_flight import SingleFlight
from workers.errors import DeliveryError, DependencyUnavailableError, UnknownChannelError
from workers.ledger.ledger import Ledger
from workers.ledger.outbox import Message
from workers.ledger.tables import outbox
from workers.ledger.unit_of_work import LEASE, Alerts
from workers.valkey.connection import UNAVAILABLE
from workers.valkey.store import Store

PARALLEL = 8
BATCH = 2 * PARALLEL
"""So few that their lease outlasts them, though every channel takes as long as it may."""
LONGEST_WAIT = LEASE / 2
"""A leased alert that could not be begun for so long is left: its lease might not outlast it."""
URGENT_TOPIC = "customer_mia"
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=5)

log = logging.getLogger("curbside.workers")


def _now() -> datetime:
    return datetime.now(UTC)


class Done(NamedTuple):
    """An alert that nothing more is to be done for; its fields are the parameters of `_MARK`."""

    key: str
    on: str
    at: datetime
    never_sent: bool = False
    why: str | None = None


_MARK = (
    update(outbox)
    .where(outbox.c.idempotency_key == bindparam("key"), outbox.c.channel == bindparam("on"))
    .values(
        sent_at=bindparam("at"),
        dropped=bindparam("never_sent"),
        last_error=bindparam("why"),
        attempts=outbox.c.attempts + 1,
        leased_until=None,
    )
)


class OutboxRelay:
    """Empties the outbox. Safe to share between threads, but for `run`."""

    def __init__(
        self, ledger: Ledger, store: Store, notifier: Notifier, channels: Channels, clock: Callable[[], datetime] = _now
    ) -> None:
        self._ledger, self._store, self._notifier, self._channels, self._clock = ledger, store, notifier, channels, clock
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="alert")
        self._under_way: set[Future[None]] = set()
        self._done, self._marking = deque[Done](), SingleFlight()

    @property
    def capacity(self) -> int:
        """How many alerts `send_new` would begin to send without delay."""
        return max(0, BATCH - len(self._under_way))

    def send_new(self, alerts: Alerts) -> int | None:
        """See to the alerts of a transaction that is committed; gives when the outbox is to be looked at, in epoch ms, if it is.

        That is to be remembered (`Store.outbox_due`) no later than the events are acknowledged. So a crash at any moment loses none:
        events that were not acknowledged are applied again.
        """
        if not alerts:
            return None
        now = self._clock()
        for message in alerts.leased:
            with suppress(RuntimeError):  # the worker is ending: another sends it when the lease is over
                future = self._pool.submit(self._deliver_leased, message, now)
                self._under_way.add(future)
                future.add_done_callback(self._under_way.discard)
        if alerts.waiting:
            self._notifier.notify([DELIVER_QUEUE])
        return _epoch_ms(now if alerts.waiting else now + LEASE)

    def run(self) -> None:
        """Send all that is due, and remember when the next is. Raises `DependencyUnavailableError` if the ledger is away."""
        self._store.clear_notified(DELIVER_QUEUE)
        self._store.outbox_done()  # before we look: who writes another row from now on says so again, and rings
        try:
            while messages := self._lease():
                list(self._pool.map(self._relay, messages))
            next_due = self._next_due()
        except BaseException:
            self._store.outbox_due(_epoch_ms(self._clock()))
            raise
        if next_due is not None:
            self._store.outbox_due(_epoch_ms(next_due))

    def close(self) -> None:
        """End what is on its way; leave the rest."""
        self._pool.shutdown(cancel_futures=True)

    def _deliver_leased(self, message: Message, leased_at: datetime) -> None:
        if self._clock() > leased_at + LONGEST_WAIT:
            return
        try:
            self._relay(message)
        except (DependencyUnavailableError, *UNAVAILABLE) as error:
            away = error if isinstance(error, DependencyUnavailableError) else "Valkey"
            log.warning("what became of an alert cannot be noted, it may be sent again: %s is unreachable", away)
        except Exception as error:  # nobody waits for this thread: a bug of ours has to be said
            log.error("a bug in delivering an alert, it will be sent again: %s", type(error).__name__)  # noqa: TRY400 - its text may quote

    def _lease(self) -> Sequence[Message]:
        """Take due rows for ourselves for a while: customers that cannot be found first, then what was tried less often.

        So a channel that is down does not hold up the others, however much waits for it.
        """
        now = self._clock()
        its = outbox.c
        free = and_(_waiting(), its.due_at <= now, or_(its.leased_until.is_(None), its.leased_until <= now))
        urgent_first = (its.topic != URGENT_TOPIC, its.attempts, its.created_at)
        with self._ledger.begin() as connection:
            due = select(its.idempotency_key, its.channel).where(free).order_by(*urgent_first).limit(BATCH)
            if connection.dialect.name == "postgresql":
                due = due.with_for_update(skip_locked=True)
            rows = connection.execute(due).all()
            keys = [(key, channel) for key, channel in rows]
            leased = (
                update(outbox)
                .where(tuple_(its.idempotency_key, its.channel).in_(keys))
                .values(leased_until=now + LEASE)
                .returning(its.idempotency_key, its.channel, its.topic, its.title, its.payload, its.created_at)
            )
            messages = [Message(*row) for row in connection.execute(leased)] if keys else []
        return sorted(messages, key=lambda each: keys.index((each.idempotency_key, each.channel)))

    def _relay(self, message: Message) -> None:
        now = self._clock()
        try:
            self._channels.send(message, now)
        except DeliveryError as error:
            log.warning("alert not delivered through %s: %s; it will be tried again", message.channel, error)
            self._mark_failed(message, str(error), now)
        except UnknownChannelError as error:
            log.warning("alert dropped: %s", error)
            self._mark(Done(message.idempotency_key, message.channel, now, never_sent=True, why=str(error)))
        else:
            self._mark(Done(message.idempotency_key, message.channel, now))

    def _mark_failed(self, message: Message, error: str, now: datetime) -> None:
        with self._ledger.begin() as connection:
            attempts = 1 + (connection.scalar(select(outbox.c.attempts).where(_is(message))) or 0)
            pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
            values = {"attempts": attempts, "due_at": now + pause, "last_error": error, "leased_until": None}
            connection.execute(update(outbox).where(_is(message)).values(values))
        self._store.outbox_due(_epoch_ms(now + pause))

    def _mark(self, done: Done) -> None:
        """Note it, in one transaction with what others are done with meanwhile: the more there is, the fewer transactions each costs."""
        self._done.append(done)
        if not self._marking.try_start():
            return
        try:
            while True:
                rows = [self._done.popleft()._asdict() for _ in range(len(self._done))]
                if rows:
                    with self._ledger.begin() as connection:
                        connection.execute(_MARK, rows)
                if self._marking.try_finish():
                    return
        except BaseException:
            self._marking.abort()
            raise

    def _next_due(self) -> datetime | None:
        """When the next row is to be tried: when it is due, or when its lease is over."""
        its = outbox.c
        when = case((its.leased_until > its.due_at, its.leased_until), else_=its.due_at)
        with self._ledger.begin() as connection:
            next_due: datetime | None = connection.scalar(select(func.min(when)).where(_waiting()))
        return next_due


def _waiting() -> ColumnElement[bool]:
    return outbox.c.sent_at.is_(None)


def _is(message: Message) -> ColumnElement[bool]:
    return and_(outbox.c.idempotency_key == message.idempotency_key, outbox.c.channel == message.channel)


def _epoch_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
