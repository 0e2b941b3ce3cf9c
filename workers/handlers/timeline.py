"""Timeline: every event becomes a line of its orders' history, and the order's row says how things stand now.

"Now" is by the provider's time: old news never overwrites newer. Closes MIA alerts of orders that were delivered or canceled later.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, tuple_, update

from schemas.events import Event, Kind
from workers.handler import UnitOfWork, handler
from workers.ledger.news import news_key
from workers.ledger.orders import TERMINAL, minutes_between
from workers.ledger.tables import customer_mia_alerts, late_deliveries, order_events, orders
from workers.ledger.upsert import Row, insert_into, insert_new, newer

_PROMISES = frozenset({Kind.ORDER_CREATED, Kind.RESCHEDULED, Kind.ORDER_OPENED})
"""Events whose estimate is what the customer was promised, against which lateness is measured."""

_GROUPS = {
    "status_news": ("status", "status_at"),
    "expected_news": ("expected_at",),
    "promised_news": ("promised_at",),
}


@handler("timeline")
def timeline(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Write history and state of the orders that these events name."""
    rows = fold(events)
    _upsert_orders(work.connection, rows)
    insert_new(work.connection, order_events, [line for event in events for line in _lines(event)])
    _close_mia_alerts(work.connection, [event for event in events if event.kind in TERMINAL])
    _complete_lateness(work.connection, [row for row in rows if row["promised_at"]])


def fold(events: Sequence[Event]) -> list[Row]:
    """One row for each order, with the newest news of each group of columns; sorted, so that locks are taken in one order. Pure."""
    rows: dict[tuple[str, str], Row] = {}
    for event in events:
        news = news_key(event)
        for order_id in event.order_ids:
            new = _order_row(event, order_id, news)
            row = rows.setdefault((event.provider, order_id), new)
            if row is not new:
                _merge(row, new)
    return [rows[key] for key in sorted(rows)]


def _order_row(event: Event, order_id: str, news: str) -> Row:
    promise = event.promised_at if event.kind in _PROMISES else None
    return {
        "provider": event.provider.value,
        "order_id": order_id,
        "number": event.number,
        "fulfillment_type": event.fulfillment_type,
        "status": event.status,
        "status_at": event.occurred_at if event.status else None,
        "status_news": news if event.status else None,
        "expected_at": event.promised_at,
        "expected_news": news if event.promised_at else None,
        "promised_at": promise,
        "promised_news": news if promise else None,
        "first_event_at": event.occurred_at,
        "last_event_at": event.occurred_at,
    }


def _merge(row: Row, new: Row) -> None:
    for news, columns in _GROUPS.items():
        if new[news] is not None and (row[news] is None or new[news] > row[news]):
            row[news] = new[news]
            row.update((column, new[column]) for column in columns)
    row["number"] = row["number"] or new["number"]
    row["fulfillment_type"] = row["fulfillment_type"] or new["fulfillment_type"]
    row["first_event_at"] = min(row["first_event_at"], new["first_event_at"])
    row["last_event_at"] = max(row["last_event_at"], new["last_event_at"])


def _upsert_orders(connection: Connection, rows: Sequence[Row]) -> None:
    statement = insert_into(connection, orders)
    new, old = statement.excluded, orders.c
    least, most = (func.least, func.greatest) if connection.dialect.name == "postgresql" else (func.min, func.max)
    assignments: dict[str, Any] = {
        "number": func.coalesce(old.number, new.number),
        "fulfillment_type": func.coalesce(old.fulfillment_type, new.fulfillment_type),
        "first_event_at": least(func.coalesce(old.first_event_at, new.first_event_at), new.first_event_at),
        "last_event_at": most(func.coalesce(old.last_event_at, new.last_event_at), new.last_event_at),
    }
    for news, columns in _GROUPS.items():
        assignments |= newer(statement, orders, news, columns)
    connection.execute(statement.on_conflict_do_update(index_elements=orders.primary_key, set_=assignments), rows)


def _lines(event: Event) -> list[Row]:
    return [
        {
            "provider": event.provider.value,
            "order_id": order_id,
            "identity": event.identity,
            "event_id": event.event_id,
            "occurred_at": event.occurred_at,
            "received_at": event.received_at,
            "name": event.name,
            "kind": event.kind.value,
            "status": event.status,
            "provider_event_id": event.provider_event_id,
        }
        for order_id in event.order_ids
    ]


def _close_mia_alerts(connection: Connection, events: Sequence[Event]) -> None:
    """Close what was reported no later than the end of the order. In time order: the first end closes."""
    closing = [
        {"its_provider": event.provider.value, "its_order": order_id, "at": event.occurred_at, "by": event.event_id}
        for event in sorted(events, key=news_key)
        for order_id in event.order_ids
    ]
    if closing:
        table = customer_mia_alerts.c
        statement = (
            update(customer_mia_alerts)
            .where(table.provider == bindparam("its_provider"), table.order_id == bindparam("its_order"))
            .where(table.closed_at.is_(None), table.last_reported_at <= bindparam("at"))
            .values(closed_at=bindparam("at"), closed_by=bindparam("by"))
        )
        connection.execute(statement, closing)


def _complete_lateness(connection: Connection, promised: Sequence[Row]) -> None:
    """Tell late deliveries, that came before what had been promised, how late they are."""
    if not promised:
        return
    late, its = late_deliveries.c, orders.c
    key = tuple_(late.provider, late.order_id)
    names = [(row["provider"], row["order_id"]) for row in promised]
    waiting = connection.execute(
        select(late.provider, late.order_id, late.expected_at, its.promised_at)
        .join(orders, (its.provider == late.provider) & (its.order_id == late.order_id))
        .where(late.promised_at.is_(None), key.in_(names))
    ).all()
    for provider, order_id, expected_at, promised_at in waiting:
        connection.execute(
            update(late_deliveries)
            .where(late.provider == provider, late.order_id == order_id, late.promised_at.is_(None))
            .values(promised_at=promised_at, minutes_late=minutes_between(promised_at, expected_at))
        )
