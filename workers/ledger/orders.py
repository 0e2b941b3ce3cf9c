"""What several handlers ask of an order."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from schemas.events import Kind
from workers.ledger.tables import order_events, orders
from workers.ledger.upsert import insert_into

TERMINAL = frozenset({Kind.DELIVERED, Kind.CANCELED})
"""Kinds after which an order is no longer under way, unless it reverts."""


def lock_orders(connection: Connection, names: Iterable[tuple[str, str]]) -> None:
    """Keep other transactions from these orders, (provider, order id) each, until this one ends.

    By their rows in `orders`, made if need be, in sorted order so that nobody waits in a circle.
    """
    rows = [{"provider": provider, "order_id": order_id} for provider, order_id in sorted(set(names))]
    statement = insert_into(connection, orders)
    touch = statement.on_conflict_do_update(index_elements=orders.primary_key, set_={"provider": statement.excluded.provider})
    if rows:
        connection.execute(touch, rows)


class End(NamedTuple):
    """An event that ended an order."""

    occurred_at: datetime
    event_id: str

    def arrived_before(self, event_id: str) -> bool:
        """Whether we received it before another event."""
        return _arrival(self.event_id) < _arrival(event_id)


def ends_since(connection: Connection, provider: str, order_id: str, since: datetime) -> list[End]:
    """The events that ended the order at this time or later, by the provider's time, earliest first."""
    its = order_events.c
    its_ends = (its.provider == provider, its.order_id == order_id, its.kind.in_(sorted(TERMINAL)), its.occurred_at >= since)
    rows = connection.execute(select(its.occurred_at, its.event_id).where(*its_ends).order_by(its.occurred_at, its.event_id))
    return [End(*row) for row in rows]


def _arrival(event_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in event_id.split("-"))


def minutes_between(promised_at: datetime | None, expected_at: datetime | None) -> int | None:
    """Whole minutes from what was promised to what is expected; None while either is unknown."""
    if promised_at is None or expected_at is None:
        return None
    return int((expected_at - promised_at).total_seconds() // 60)
