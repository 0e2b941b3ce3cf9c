"""Late deliveries: how late an order will be, by the newest event; people are alerted from `LATE_ALERT_MINUTES` on.

The event says the new estimate or window; what was promised before is in the event (envelope) or in the order's row (flat). While it
is unknown so is the lateness, and people are alerted all the same.
"""

from collections.abc import Sequence

from sqlalchemy import select

from schemas.events import Event, Kind
from workers.handler import URGENT, UnitOfWork, handler
from workers.ledger.news import news_key
from workers.ledger.orders import ends_since, lock_orders, minutes_between
from workers.ledger.tables import late_deliveries as table
from workers.ledger.tables import orders
from workers.ledger.unit_of_work import Alert
from workers.ledger.upsert import Row, insert_into, newer

_COLUMNS = (
    "event_id", "occurred_at", "received_at", "old_window_starts_at", "old_window_ends_at", "new_window_starts_at",
    "new_window_ends_at", "promised_at", "expected_at", "minutes_late",
)  # fmt: skip


@handler("late_deliveries", Kind.LATE_DELIVERY, retry=URGENT)
def late_deliveries(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Write the lateness that these events tell of, each order's newest last."""
    named = [(event, order_id) for event in sorted(events, key=news_key) for order_id in event.order_ids]
    lock_orders(work.connection, ((event.provider.value, order_id) for event, order_id in named))
    for event, order_id in named:
        row = _row(work, event, order_id)
        statement = insert_into(work.connection, table).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=table.primary_key, set_=newer(statement, table, "news", _COLUMNS)
        )
        newest = work.connection.scalar(statement.returning(table.c.news))
        if newest == row["news"] and _is_alarming(work, row):
            work.alert(_alert(row, event))


def _row(work: UnitOfWork, event: Event, order_id: str) -> Row:
    old, new = event.window, event.new_window
    promised_at = old.ends_at or old.starts_at if old and new else None
    if promised_at is None:
        its = orders.c
        promised_at = work.connection.scalar(
            select(its.promised_at).where(its.provider == event.provider.value, its.order_id == order_id)
        )
    return {
        "provider": event.provider.value,
        "order_id": order_id,
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "news": news_key(event),
        "old_window_starts_at": old and old.starts_at,
        "old_window_ends_at": old and old.ends_at,
        "new_window_starts_at": new and new.starts_at,
        "new_window_ends_at": new and new.ends_at,
        "promised_at": promised_at,
        "expected_at": event.promised_at,
        "minutes_late": minutes_between(promised_at, event.promised_at),
    }


def _is_alarming(work: UnitOfWork, row: Row) -> bool:
    """Late enough, or late by an unknown time, and still under way."""
    minutes = row["minutes_late"]
    if minutes is not None and minutes < work.settings.late_alert_minutes:
        return False
    return not ends_since(work.connection, row["provider"], row["order_id"], row["occurred_at"])


def _alert(row: Row, event: Event) -> Alert:
    minutes = row["minutes_late"]
    by = "by an unknown time" if minutes is None else f"by {minutes} minutes"
    return Alert(
        idempotency_key=f"late_delivery:{row['provider']}:{row['order_id']}:{event.identity}",
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
