"""The outbox relay: sends the alerts of the outbox, at least once, always under the same idempotency key.

A row is leased before it is sent. Sending happens outside any transaction, so a slow channel holds no lock. After a crash
between sending and marking, the row is sent again when its lease ends. A failed row is retried at growing intervals.

The transaction that writes a row also leases it to its own process, which sends it right after the commit: without a
notification and without a read of the outbox. The queue `deliver` sends the others: rows that failed, rows of a worker that
died, and rows beyond a worker's capacity.
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
"""Rows leased at once. All are sent before their lease ends, even if every channel takes its full timeout."""
MAX_SEND_DELAY = LEASE / 2
"""A leased alert that has waited longer for a thread is not sent: its lease might end first."""
URGENT_TOPIC = "customer_mia"
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=5)

log = logging.getLogger("curbside.workers")


def _now() -> datetime:
    return datetime.now(UTC)


class DeliveryResult(NamedTuple):
    """An alert that was sent or dropped. Its fields are the parameters of `_MARK`."""

    key: str
    to_channel: str
    finished_at: datetime
    was_dropped: bool = False
    error: str | None = None


_MARK = (
    update(outbox)
    .where(outbox.c.idempotency_key == bindparam("key"), outbox.c.channel == bindparam("to_channel"))
    .values(
        sent_at=bindparam("finished_at"),
        dropped=bindparam("was_dropped"),
        last_error=bindparam("error"),
        attempts=outbox.c.attempts + 1,
        leased_until=None,
    )
)


class OutboxRelay:
    """Sends the alerts of the outbox. Safe to share between threads, except `run`."""

    def __init__(
        self, ledger: Ledger, store: Store, notifier: Notifier, channels: Channels, clock: Callable[[], datetime] = _now
    ) -> None:
        self._ledger, self._store, self._notifier, self._channels, self._clock = ledger, store, notifier, channels, clock
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="alert")
        self._sending: set[Future[None]] = set()
        self._results, self._marking = deque[DeliveryResult](), SingleFlight()

    @property
    def capacity(self) -> int:
        """How many alerts `send_new` can start to send at once."""
        return max(0, BATCH - len(self._sending))

    def send_new(self, alerts: Alerts) -> int | None:
        """Start to send the alerts of a committed transaction. Returns when the outbox must be read, in epoch ms, or None.

        The caller must store that time (`Store.outbox_due`) no later than it acknowledges the events. A crash then loses no
        alert: events that are not acknowledged are applied again.
        """
        if not alerts:
            return None
        now = self._clock()
        for message in alerts.leased:
            with suppress(RuntimeError):  # the worker is stopping: another worker sends it when the lease ends
                future = self._pool.submit(self._send_leased, message, now)
                self._sending.add(future)
                future.add_done_callback(self._sending.discard)
        if alerts.waiting:
            self._notifier.notify([DELIVER_QUEUE])
        return _epoch_ms(now if alerts.waiting else now + LEASE)

    def run(self) -> None:
        """Send every due alert, and store when the next one is due. Raises `DependencyUnavailableError`."""
        self._store.clear_notified(DELIVER_QUEUE)
        self._store.outbox_done()  # before the read: the writer of a later row stores its due time and notifies
        try:
            while messages := self._lease():
                list(self._pool.map(self._send, messages))
            next_due = self._next_due()
        except BaseException:
            self._store.outbox_due(_epoch_ms(self._clock()))
            raise
        if next_due is not None:
            self._store.outbox_due(_epoch_ms(next_due))

    def close(self) -> None:
        """Finish the alerts that are being sent; leave the rest."""
        self._pool.shutdown(cancel_futures=True)

    def _send_leased(self, message: Message, leased_at: datetime) -> None:
        if self._clock() > leased_at + MAX_SEND_DELAY:
            return
        try:
            self._send(message)
        except (DependencyUnavailableError, *UNAVAILABLE) as error:
            what = error if isinstance(error, DependencyUnavailableError) else "Valkey"
            log.warning("the result of an alert cannot be stored, so it may be sent again: %s is unreachable", what)
        except Exception as error:  # nothing reads this future: without a log line a bug would be lost
            log.error("a bug in sending an alert, it will be sent again: %s", type(error).__name__)  # noqa: TRY400 - may quote data

    def _lease(self) -> Sequence[Message]:
        """Lease due rows: MIA alerts first, then the rows with the fewest attempts.

        A channel that is down therefore does not delay the others, however many rows wait for it.
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

    def _send(self, message: Message) -> None:
        now = self._clock()
        try:
            self._channels.send(message, now)
        except DeliveryError as error:
            log.warning("alert not delivered through %s: %s; it will be retried", message.channel, error)
            self._mark_failed(message, str(error), now)
        except UnknownChannelError as error:
            log.warning("alert dropped: %s", error)
            self._mark(DeliveryResult(message.idempotency_key, message.channel, now, was_dropped=True, error=str(error)))
        else:
            self._mark(DeliveryResult(message.idempotency_key, message.channel, now))

    def _mark_failed(self, message: Message, error: str, now: datetime) -> None:
        with self._ledger.begin() as connection:
            attempts = 1 + (connection.scalar(select(outbox.c.attempts).where(_is(message))) or 0)
            pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
            values = {"attempts": attempts, "due_at": now + pause, "last_error": error, "leased_until": None}
            connection.execute(update(outbox).where(_is(message)).values(values))
        self._store.outbox_due(_epoch_ms(now + pause))

    def _mark(self, result: DeliveryResult) -> None:
        """Store the result, in one transaction with the results that other threads add meanwhile."""
        self._results.append(result)
        if not self._marking.try_start():
            return
        try:
            while True:
                rows = [self._results.popleft()._asdict() for _ in range(len(self._results))]
                if rows:
                    with self._ledger.begin() as connection:
                        connection.execute(_MARK, rows)
                if self._marking.try_finish():
                    return
        except BaseException:
            self._marking.abort()
            raise

    def _next_due(self) -> datetime | None:
        """When the next row can be sent: when it is due, or when its lease ends."""
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
