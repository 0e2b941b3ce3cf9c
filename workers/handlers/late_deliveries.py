"""Late deliveries: how late an order will be, by its newest event. From `LATE_ALERT_MINUTES` on, an alert is sent.

The event contains the new estimate or window. The earlier promise is in the event (envelope) or in the order's history (flat).
While the promise is unknown, so is the lateness, and an alert is sent all the same. No alert is sent for an older event, nor
for an order that has been delivered or canceled since. A promise that the timeline handles later may make the order late: then
the timeline sends the alert (`workers.ledger.late_alerts`).
"""

from collections.abc import Sequence

from schemas.events import Event, Kind
from workers.handler import URGENT, UnitOfWork, handler
from workers.ledger.event_order import ordering_key
from workers.ledger.late_alerts import alert_where_late
from workers.ledger.lateness import measure_lateness, minutes_between
from workers.ledger.lookups import Name
from workers.ledger.orders import lock_orders, names_of
from workers.ledger.tables import late_deliveries as table
from workers.ledger.upsert import Assignments, Insert, Row, newer, upsert

_COLUMNS = (
    "event_id", "occurred_at", "received_at", "old_window_starts_at", "old_window_ends_at", "new_window_starts_at",
    "new_window_ends_at", "promised_at", "expected_at", "minutes_late",
)  # fmt: skip


@handler("late_deliveries", Kind.LATE_DELIVERY, retry=URGENT)
def late_deliveries(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Write the newest lateness of each order, and alert if it is late enough."""
    newest = {name: event for event in sorted(events, key=ordering_key) for name in names_of(event)}
    lock_orders(work.connection, newest)
    rows = [_row(newest[name], name) for name in sorted(newest)]
    upsert(work.connection, table, rows, _assign)
    measure_lateness(work.connection, newest)
    alert_where_late(work, newest)


def _assign(statement: Insert) -> Assignments:
    return newer(statement, table, "news", _COLUMNS)


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
