"""How late deliveries are, against what their customers had been promised when it was said.

An event with both its windows says so itself. Otherwise the order's history tells, and whoever writes either of them, the history or
the late delivery, measures again: so the lateness is the same in whatever order the events come.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, or_, select, update

from schemas.events import Kind
from workers.ledger.event_order import ordering_key_of
from workers.ledger.lookups import Lookup, Name
from workers.ledger.tables import late_deliveries as table
from workers.ledger.tables import order_events

PROMISING = frozenset({Kind.ORDER_CREATED, Kind.RESCHEDULED, Kind.ORDER_OPENED})
"""Events whose estimate is what the customer was promised, against which lateness is measured."""


_late, _event = table.c, order_events.c
_LATE = Lookup(
    table,
    select(_late.provider, _late.order_id, _late.occurred_at, _late.expected_at, _late.promised_at).where(
        or_(
            func.coalesce(_late.old_window_starts_at, _late.old_window_ends_at).is_(None),
            func.coalesce(_late.new_window_starts_at, _late.new_window_ends_at).is_(None),
        )
    ),
)
"""Those that do not say both their windows themselves."""
_PROMISES = Lookup(
    order_events,
    select(_event.provider, _event.order_id, _event.occurred_at, _event.status, _event.identity, _event.expected_at).where(
        _event.kind.in_(sorted(PROMISING)), _event.expected_at.is_not(None)
    ),
)

_MEASURE = update(table).where(_late.provider == bindparam("its"), _late.order_id == bindparam("own"))


class Promise(NamedTuple):
    """When it was made, under which key of news, and what was promised."""

    made_at: datetime
    news: str
    promised_at: datetime


def measure_lateness(connection: Connection, names: Collection[Name]) -> None:
    """Measure the late deliveries of these orders that depend on their history. Whoever calls holds the orders' rows."""
    if not (late := _LATE.rows(connection, names)):
        return
    promises = _promises_of(connection, [(row.provider, row.order_id) for row in late])
    changes = []
    for row in late:
        promised_at = promised_by(promises[row.provider, row.order_id], row.occurred_at)
        if promised_at != row.promised_at:
            minutes = minutes_between(promised_at, row.expected_at)
            changes.append({"its": row.provider, "own": row.order_id, "promised_at": promised_at, "minutes_late": minutes})
    if changes:
        connection.execute(_MEASURE, changes)


def promised_by(promises: Sequence[Promise], time: datetime) -> datetime | None:
    """What stood promised at this time."""
    standing = max((each for each in promises if each.made_at <= time), default=None)
    return standing and standing.promised_at


def minutes_between(promised_at: datetime | None, expected_at: datetime | None) -> int | None:
    """Whole minutes from what was promised to what is expected; None while either is unknown."""
    if promised_at is None or expected_at is None:
        return None
    return (expected_at - promised_at) // timedelta(minutes=1)


def _promises_of(connection: Connection, names: Collection[Name]) -> dict[Name, list[Promise]]:
    """All that was promised for each of these orders."""
    promises: dict[Name, list[Promise]] = defaultdict(list)
    for provider, order_id, occurred_at, status, identity, expected_at in _PROMISES.rows(connection, names):
        news = ordering_key_of(occurred_at, status, identity)
        promises[provider, order_id].append(Promise(occurred_at, news, expected_at))
    return promises
