"""What several handlers ask of an order."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, func, select

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


def ended_at(connection: Connection, provider: str, order_id: str) -> datetime | None:
    """When the order was last delivered or canceled, by the provider's time."""
    its = order_events.c
    time: datetime | None = connection.scalar(
        select(func.max(its.occurred_at)).where(
            its.provider == provider, its.order_id == order_id, its.kind.in_(sorted(TERMINAL))
        )
    )
    return time


def minutes_between(promised_at: datetime | None, expected_at: datetime | None) -> int | None:
    """Whole minutes from what was promised to what is expected; None while either is unknown."""
    if promised_at is None or expected_at is None:
        return None
    return int((expected_at - promised_at).total_seconds() // 60)
