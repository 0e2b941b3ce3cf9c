"""Timeline: adds every event to the history of its orders, and keeps the current state in the order's row.

Events are ordered by the provider's time, bounded (`workers.ledger.event_order`): an older event never overwrites a newer one,
and no event rules for ever. The timeline also closes the MIA alerts of orders that were delivered or canceled after the last
report (`workers.ledger.mia_alerts`), and alerts when a promise makes an order late whose late delivery was handled before it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func

from schemas.events import Event
from workers.handler import UnitOfWork, handler
from workers.ledger.event_order import ordering_key
from workers.ledger.late_alerts import alert_where_late
from workers.ledger.lateness import PROMISING, is_estimate, measure_lateness
from workers.ledger.mia_alerts import settle_alerts
from workers.ledger.orders import names_of
from workers.ledger.tables import order_events, orders
from workers.ledger.upsert import Assignments, Insert, Row, greatest, insert_new, least, newer, upsert

_GROUPS = {
    "number_news": ("number",),
    "fulfillment_type_news": ("fulfillment_type",),
    "status_news": ("status", "status_at"),
    "expected_news": ("expected_at",),
    "promised_news": ("promised_at",),
}
"""Columns that are set together, by the column that holds the ordering key of the event that last set them."""


@handler("timeline")
def timeline(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Write the history and the state of the orders that these events name."""
    rows = fold(events)
    upsert(work.connection, orders, rows, _assign)
    insert_new(work.connection, order_events, [row for event in events for row in _history_rows(event)])
    settle_alerts(work, events)
    if changed := measure_lateness(work.connection, [name for event in events if _promise(event) for name in names_of(event)]):
        alert_where_late(work, changed)


def fold(events: Sequence[Event]) -> list[Row]:
    """One row for each order, with the newest values of each group of columns; sorted, for one order of locks. Pure."""
    rows: dict[tuple[str, str], Row] = {}
    for event in events:
        key = ordering_key(event)
        for order_id in event.order_ids:
            new = _order_row(event, order_id, key)
            row = rows.setdefault((event.provider, order_id), new)
            if row is not new:
                _merge(row, new)
    return [rows[key] for key in sorted(rows)]


def _order_row(event: Event, order_id: str, key: str) -> Row:
    estimate, promise = event.promised_at if is_estimate(event.promised_at) else None, _promise(event)
    return {
        "provider": event.provider,
        "order_id": order_id,
        "number": event.number,
        "number_news": key if event.number else None,
        "fulfillment_type": event.fulfillment_type,
        "fulfillment_type_news": key if event.fulfillment_type else None,
        "status": event.status,
        "status_at": event.occurred_at if event.status else None,
        "status_news": key if event.status else None,
        "expected_at": estimate,
        "expected_news": key if estimate else None,
        "promised_at": promise,
        "promised_news": key if promise else None,
        "first_event_at": event.ordered_at,
        "last_event_at": event.ordered_at,
    }


def _promise(event: Event) -> datetime | None:
    return event.promised_at if event.kind in PROMISING and is_estimate(event.promised_at) else None


def _merge(row: Row, new: Row) -> None:
    for key_column, columns in _GROUPS.items():
        if new[key_column] is not None and (row[key_column] is None or new[key_column] > row[key_column]):
            row[key_column] = new[key_column]
            row.update((column, new[column]) for column in columns)
    row["first_event_at"] = min(row["first_event_at"], new["first_event_at"])
    row["last_event_at"] = max(row["last_event_at"], new["last_event_at"])


def _assign(statement: Insert) -> Assignments:
    old, new = orders.c, statement.excluded
    assignments: dict[str, ColumnElement[Any]] = {
        "first_event_at": least(func.coalesce(old.first_event_at, new.first_event_at), new.first_event_at),
        "last_event_at": greatest(func.coalesce(old.last_event_at, new.last_event_at), new.last_event_at),
    }
    for key_column, columns in _GROUPS.items():
        assignments |= newer(statement, orders, key_column, columns)
    return assignments


def _history_rows(event: Event) -> list[Row]:
    return [
        {
            "provider": event.provider,
            "order_id": order_id,
            "identity": event.identity,
            "event_id": event.event_id,
            "occurred_at": event.occurred_at,
            "received_at": event.received_at,
            "name": event.name,
            "kind": event.kind.value,
            "status": event.status,
            "expected_at": event.promised_at,
            "provider_event_id": event.provider_event_id,
            "ordered_at": None if event.ordered_at == event.occurred_at <= event.received_at else event.ordered_at,
            "has_time": event.has_time,
        }
        for order_id in event.order_ids
    ]
