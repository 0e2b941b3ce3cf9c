"""Computes how late a delivery is, against what the customer had been promised when the lateness was reported.

An event with both windows contains the promise. For any other event the order's history does. A write to the history or to the
late delivery computes the lateness again, so the result does not depend on the order of the events. Whichever write makes an
order late enough, `workers.ledger.late_alerts` alerts.

Which promise is the newest is decided by the times that order events (`workers.ledger.event_order`), not by times as sent. An
estimate that names no day (year 1, year 9999) is no estimate.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeGuard

from sqlalchemy import Connection, bindparam, func, or_, select, update

from schemas.events import Kind, is_plausible
from workers.ledger.event_order import ordering_key_of, stored_time, time_of
from workers.ledger.lookups import Lookup, Name
from workers.ledger.tables import late_deliveries as table
from workers.ledger.tables import order_events

_LATEST_YEAR = 2999
PROMISING = frozenset({Kind.ORDER_CREATED, Kind.RESCHEDULED, Kind.ORDER_OPENED})
"""Events whose estimate is a promise to the customer. Lateness is measured against it."""

_late, _event = table.c, order_events.c
_LATE = Lookup(
    table,
    select(_late.provider, _late.order_id, _late.news, _late.expected_at, _late.promised_at).where(
        or_(
            func.coalesce(_late.old_window_starts_at, _late.old_window_ends_at).is_(None),
            func.coalesce(_late.new_window_starts_at, _late.new_window_ends_at).is_(None),
        )
    ),
)
"""Late deliveries whose event does not contain both windows."""
_PROMISES = Lookup(
    order_events,
    select(
        _event.provider, _event.order_id, _event.status, _event.identity, _event.expected_at, _event.ordered_at,
        _event.occurred_at, _event.received_at,
    ).where(_event.kind.in_(sorted(PROMISING)), _event.expected_at.is_not(None)),
)  # fmt: skip

_MEASURE = update(table).where(_late.provider == bindparam("its"), _late.order_id == bindparam("own"))

_A_YEAR = timedelta(days=366)
"""Of two estimates that far apart, one is a placeholder."""


class Promise(NamedTuple):
    """What was promised, when it was promised, and the ordering key of the event that promised it."""

    made_at: datetime
    key: str
    promised_at: datetime


def measure_lateness(connection: Connection, names: Collection[Name]) -> list[Name]:
    """Compute the lateness of these orders where it depends on their history. Returns the orders of which it changed.

    The caller has locked the orders' rows.
    """
    if not (late := _LATE.rows(connection, names)):
        return []
    promises = _promises_of(connection, [(row.provider, row.order_id) for row in late])
    changes = []
    for row in late:
        promised_at = promise_at(promises[row.provider, row.order_id], time_of(row.news))
        if promised_at != row.promised_at:
            minutes = minutes_between(promised_at, row.expected_at)
            changes.append({"its": row.provider, "own": row.order_id, "promised_at": promised_at, "minutes_late": minutes})
    if changes:
        connection.execute(_MEASURE, changes)
    return [(change["its"], change["own"]) for change in changes]


def promise_at(promises: Sequence[Promise], time: datetime) -> datetime | None:
    """The newest promise made no later than `time`; None if there is none."""
    newest = max((each for each in promises if each.made_at <= time), default=None)
    return newest and newest.promised_at


def minutes_between(promised_at: datetime | None, expected_at: datetime | None) -> int | None:
    """Whole minutes from the promised to the expected time; None while either is unknown, or over a year from the other."""
    if not (is_estimate(promised_at) and is_estimate(expected_at)) or abs(expected_at - promised_at) > _A_YEAR:
        return None
    return (expected_at - promised_at) // timedelta(minutes=1)


def is_estimate(time: datetime | None) -> TypeGuard[datetime]:
    """Whether it is a day on which something can be delivered."""
    return time is not None and is_plausible(time) and time.year <= _LATEST_YEAR


def _promises_of(connection: Connection, names: Collection[Name]) -> dict[Name, list[Promise]]:
    """All promises made for each of these orders."""
    promises: dict[Name, list[Promise]] = defaultdict(list)
    for provider, order_id, status, identity, expected_at, *times in _PROMISES.rows(connection, names):
        if is_estimate(expected_at):
            made_at = stored_time(*times)
            promises[provider, order_id].append(Promise(made_at, ordering_key_of(made_at, status, identity), expected_at))
    return promises
