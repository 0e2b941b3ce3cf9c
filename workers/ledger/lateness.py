"""How late deliveries are, against what their customers had been promised when it was said.

An event with both its windows says so itself. Otherwise the order's history tells, and whoever writes either of them, the history or
the late delivery, measures again: so the lateness is the same in whatever order the events come.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, select, update

from schemas.events import Kind
from workers.ledger.news import key_of_news
from workers.ledger.orders import Name
from workers.ledger.tables import late_deliveries as table
from workers.ledger.tables import order_events
from workers.ledger.upsert import among

PROMISING = frozenset({Kind.ORDER_CREATED, Kind.RESCHEDULED, Kind.ORDER_OPENED})
"""Events whose estimate is what the customer was promised, against which lateness is measured."""


class Promise(NamedTuple):
    """When it was made, under which key of news, and what was promised."""

    made_at: datetime
    news: str
    promised_at: datetime


def measure_lateness(connection: Connection, names: Collection[Name]) -> None:
    """Measure the late deliveries of these orders that depend on their history. Whoever calls holds the orders' rows."""
    if not names:
        return
    its = table.c
    is_told = and_(
        func.coalesce(its.old_window_starts_at, its.old_window_ends_at).is_not(None),
        func.coalesce(its.new_window_starts_at, its.new_window_ends_at).is_not(None),
    )
    query = select(its.provider, its.order_id, its.occurred_at, its.expected_at, its.promised_at).where(
        among(connection, table, names), ~is_told
    )
    if not (late := connection.execute(query).all()):
        return
    promises = _promises_of(connection, [(row.provider, row.order_id) for row in late])
    changes = []
    for row in late:
        promised_at = promised_by(promises[row.provider, row.order_id], row.occurred_at)
        if promised_at != row.promised_at:
            minutes = minutes_between(promised_at, row.expected_at)
            changes.append({"its": row.provider, "own": row.order_id, "promised_at": promised_at, "minutes_late": minutes})
    if changes:
        connection.execute(update(table).where(its.provider == bindparam("its"), its.order_id == bindparam("own")), changes)


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
    its = order_events.c
    query = select(its.provider, its.order_id, its.occurred_at, its.status, its.identity, its.expected_at).where(
        among(connection, order_events, names),
        its.kind.in_(sorted(PROMISING)),
        its.expected_at.is_not(None),
    )
    promises: dict[Name, list[Promise]] = defaultdict(list)
    for provider, order_id, occurred_at, status, identity, expected_at in connection.execute(query):
        news = key_of_news(occurred_at, status, identity)
        promises[provider, order_id].append(Promise(occurred_at, news, expected_at))
    return promises
