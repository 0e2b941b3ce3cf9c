"""Late deliveries: how late an order will be, by its newest event. From `LATE_ALERT_MINUTES` on, an alert is sent.

The event contains the new estimate or window. The earlier promise is in the event (envelope) or in the order's history (flat).
While the promise is unknown, so is the lateness, and an alert is sent all the same. No alert is sent for an older event, nor
for an order that has been delivered or canceled since.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, select

from schemas.events import Event, Kind
from workers.handler import URGENT, UnitOfWork, handler
from workers.ledger.event_order import ordering_key
from workers.ledger.lateness import measure_lateness, minutes_between
from workers.ledger.lookups import Lookup, Name
from workers.ledger.orders import ends_of, lock_orders, names_of
from workers.ledger.tables import late_deliveries as table
from workers.ledger.unit_of_work import Alert
from workers.ledger.upsert import Assignments, Insert, Row, newer, upsert

_COLUMNS = (
    "event_id", "occurred_at", "received_at", "old_window_starts_at", "old_window_ends_at", "new_window_starts_at",
    "new_window_ends_at", "promised_at", "expected_at", "minutes_late",
)  # fmt: skip
_STORED = Lookup(table, select(table).order_by(table.c.provider, table.c.order_id))


@handler("late_deliveries", Kind.LATE_DELIVERY, retry=URGENT)
def late_deliveries(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Write the newest lateness of each order, and alert if it is late enough."""
    newest = {name: event for event in sorted(events, key=ordering_key) for name in names_of(event)}
    lock_orders(work.connection, newest)
    rows = [_row(newest[name], name) for name in sorted(newest)]
    upsert(work.connection, table, rows, _assign)
    measure_lateness(work.connection, newest)
    ends = ends_of(work.connection, newest)
    for stored in _STORED.rows(work.connection, newest):
        row = stored._mapping
        name = row["provider"], row["order_id"]
        is_over = any(end.occurred_at >= row["occurred_at"] for end in ends.get(name, []))
        if row["news"] == ordering_key(newest[name]) and not is_over and is_alarming(row, work.settings.late_alert_minutes):
            work.alert(_alert(row, newest[name].identity))


def _assign(statement: Insert) -> Assignments:
    return newer(statement, table, "news", _COLUMNS)


def is_alarming(row: "RowMapping | dict[str, Any]", alert_minutes: int) -> bool:
    """Whether the order is at least `alert_minutes` late, or late by an unknown time. Pure."""
    minutes = row["minutes_late"]
    return minutes is None or minutes >= alert_minutes


def _row(event: Event, name: Name) -> Row:
    old, new = event.window, event.new_window
    promised_at = old.ends_at or old.starts_at if old and new else None
    return {
        "provider": name[0],
        "order_id": name[1],
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "news": ordering_key(event),
        "old_window_starts_at": old and old.starts_at,
        "old_window_ends_at": old and old.ends_at,
        "new_window_starts_at": new and new.starts_at,
        "new_window_ends_at": new and new.ends_at,
        "promised_at": promised_at,
        "expected_at": event.promised_at,
        "minutes_late": minutes_between(promised_at, event.promised_at),
    }


def _alert(row: RowMapping, identity: str) -> Alert:
    minutes = row["minutes_late"]
    by = "by an unknown time" if minutes is None else f"by {minutes} minutes"
    return Alert(
        idempotency_key=f"late_delivery:{row['provider']}:{row['order_id']}:{identity}",
        topic="late_delivery",
        title=f"Order {row['order_id']} will be late {by}",
        data={
            "provider": row["provider"],
            "order_id": row["order_id"],
            "event_id": row["event_id"],
            "occurred_at": row["occurred_at"],
            "promised_at": row["promised_at"],
            "expected_at": row["expected_at"],
            "minutes_late": minutes,
        },
    )
