"""Delivery: sends what waits in the outbox. At least once, always under the same idempotency key.

A row is leased before it is sent, outside any transaction, so a slow channel holds no lock; a crash after sending and before the
mark sends it again once the lease is over. What could not be sent is tried again, at longer and longer intervals.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, tuple_, update

from workers.channel import Channels, Message, NoSuchChannel, NotDelivered
from workers.ledger.ledger import Ledger
from workers.ledger.tables import outbox
from workers.store import Store

LEASE = timedelta(seconds=30)
PARALLEL = 8
BATCH = 2 * PARALLEL
"""So few that their lease outlasts them, though every channel takes as long as it may."""
URGENT_TOPIC = "customer_mia"
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=5)

log = logging.getLogger("curbside.workers")


def _now() -> datetime:
    return datetime.now(UTC)


class Deliver:
    """Empties the outbox."""

    def __init__(self, ledger: Ledger, store: Store, channels: Channels, clock: Callable[[], datetime] = _now) -> None:
        self._ledger, self._store, self._channels, self._clock = ledger, store, channels, clock

    def run(self) -> None:
        """Send all that is due, and remember when the next is. Raises `Unreachable` if the ledger is away."""
        self._store.outbox_done()  # before we look: who writes another row from now on says so again
        try:
            with ThreadPoolExecutor(PARALLEL, thread_name_prefix="alert") as pool:
                while messages := self._lease():
                    list(pool.map(self._deliver, messages))
            next_due = self._next_due()
        except BaseException:
            self._store.outbox_due(int(self._clock().timestamp() * 1000))
            raise
        if next_due is not None and self._store.outbox_due_at() is None:  # what others said since then is sooner
            self._store.outbox_due(int(next_due.timestamp() * 1000))

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

    def _deliver(self, message: Message) -> None:
        now = self._clock()
        try:
            self._channels.send(message, now)
        except NotDelivered as error:
            log.warning("alert not delivered through %s: %s; it will be tried again", message.channel, error)
            self._mark_failed(message, str(error), now)
        except NoSuchChannel as error:
            log.warning("alert dropped: %s", error)
            self._mark(message, sent_at=now, dropped=True, last_error=str(error), leased_until=None)
        else:
            self._mark(message, sent_at=now, last_error=None, leased_until=None)

    def _mark_failed(self, message: Message, error: str, now: datetime) -> None:
        with self._ledger.begin() as connection:
            attempts = 1 + (connection.scalar(select(outbox.c.attempts).where(_is(message))) or 0)
            pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
            values = {"attempts": attempts, "due_at": now + pause, "last_error": error, "leased_until": None}
            connection.execute(update(outbox).where(_is(message)).values(values))

    def _mark(self, message: Message, **values: Any) -> None:
        with self._ledger.begin() as connection:
            connection.execute(update(outbox).where(_is(message)).values(attempts=outbox.c.attempts + 1, **values))

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
