"""The rows of the outbox: leased, sent, failed. Each change is one short transaction; none is open while an alert is sent."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, func, or_, select, tuple_, update

from workers.consumers.single_flight import SingleFlight
from workers.ledger.ledger import Ledger
from workers.ledger.outbox import Message
from workers.ledger.tables import outbox
from workers.ledger.unit_of_work import LEASE

URGENT_TOPIC = "customer_mia"
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=5)
FULL_PAUSE = timedelta(seconds=5)
"""How long a channel without room waits until the outbox is read for it again."""

_its = outbox.c
_URGENT_FIRST = (_its.topic != URGENT_TOPIC, _its.attempts, _its.created_at)


class DeliveryResult(NamedTuple):
    """An alert that was sent or dropped. Its fields are the parameters of `_MARK`."""

    key: str
    to_channel: str
    finished_at: datetime
    was_dropped: bool = False
    error: str | None = None


_MARK = (
    update(outbox)
    .where(_its.idempotency_key == bindparam("key"), _its.channel == bindparam("to_channel"))
    .values(
        sent_at=bindparam("finished_at"),
        dropped=bindparam("was_dropped"),
        last_error=bindparam("error"),
        attempts=_its.attempts + 1,
        leased_until=None,
    )
)


class OutboxRows:
    """Safe to share between threads. Every method raises `DependencyUnavailableError`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._results, self._marking = deque[DeliveryResult](), SingleFlight()

    def lease(self, now: datetime, room: Mapping[str, int], others: int) -> Sequence[Message]:
        """Lease due rows, as many of each channel as it has room for; `others`: of all channels that `room` does not name.

        MIA alerts come first, then the rows with the fewest attempts. The rows of a channel that is down therefore delay neither
        those of another channel, nor a new alert of its own, however many they are.
        """
        free = and_(_waiting(), _its.due_at <= now, or_(_its.leased_until.is_(None), _its.leased_until <= now))
        is_named = _its.channel.in_(room)
        group = case((is_named, _its.channel), else_=None)
        place = func.row_number().over(partition_by=group, order_by=_URGENT_FIRST)
        ranked = select(_its.idempotency_key, _its.channel, place.label("place")).where(free).subquery()
        limits = [(ranked.c.channel == channel, count) for channel, count in room.items()]
        keys = and_(ranked.c.idempotency_key == _its.idempotency_key, ranked.c.channel == _its.channel)
        due = select(_its.idempotency_key, _its.channel).join(ranked, keys).order_by(*_URGENT_FIRST)
        due = due.where(free, ranked.c.place <= (case(*limits, else_=others) if limits else others))
        with self._ledger.begin() as connection:
            if connection.dialect.name == "postgresql":
                due = due.with_for_update(skip_locked=True, of=outbox)
            found = [(key, channel) for key, channel in connection.execute(due)]
            messages = _take(connection, found, now + LEASE) if found else []
        order = {key: number for number, key in enumerate(found)}
        return sorted(messages, key=lambda each: order[each.idempotency_key, each.channel])

    def failed(self, message: Message, error: str, now: datetime) -> datetime:
        """Note a failed attempt. Returns when the next one is due."""
        with self._ledger.begin() as connection:
            attempts = 1 + (connection.scalar(select(_its.attempts).where(_is(message))) or 0)
            due_at: datetime = now + min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
            values = {"attempts": attempts, "due_at": due_at, "last_error": error, "leased_until": None}
            connection.execute(update(outbox).where(_is(message), _waiting()).values(values))
        return due_at

    def mark(self, result: DeliveryResult) -> None:
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

    def next_due(self, now: datetime, full: Collection[str]) -> datetime | None:
        """When the next row can be sent: when it is due, or when its lease ends. `full`: channels that have no room now."""
        when = case((_its.leased_until > _its.due_at, _its.leased_until), else_=_its.due_at)
        query = select(_its.channel, func.min(when, type_=_its.due_at.type)).where(_waiting()).group_by(_its.channel)
        with self._ledger.begin() as connection:
            times = [max(at, now + FULL_PAUSE) if channel in full else at for channel, at in connection.execute(query)]
        return min(times, default=None)


def _take(connection: Connection, keys: Sequence[tuple[str, str]], until: datetime) -> list[Message]:
    leased = (
        update(outbox)
        .where(tuple_(_its.idempotency_key, _its.channel).in_(keys))
        .values(leased_until=until)
        .returning(_its.idempotency_key, _its.channel, _its.topic, _its.title, _its.payload, _its.created_at)
    )
    return [Message(*row) for row in connection.execute(leased)]


def _waiting() -> ColumnElement[bool]:
    return _its.sent_at.is_(None)


def _is(message: Message) -> ColumnElement[bool]:
    return and_(_its.idempotency_key == message.idempotency_key, _its.channel == message.channel)
