"""The alert about a late delivery: whoever makes an order late says so, under the key of the event that reported the lateness.

The handler of late deliveries alerts when it stores a lateness. The timeline alerts when a promise that it handles makes a stored
lateness long enough. The key is the same, so that both together send one alert.
"""

from collections.abc import Collection

from sqlalchemy import RowMapping, select

from workers.ledger.ages import age_of, reported
from workers.ledger.event_order import identity_of, time_of
from workers.ledger.lookups import Lookup, Name
from workers.ledger.orders import ends_of
from workers.ledger.tables import late_deliveries as table
from workers.ledger.unit_of_work import Alert, UnitOfWork

_STORED = Lookup(table, select(table).order_by(table.c.provider, table.c.order_id))


def alert_where_late(work: UnitOfWork, names: Collection[Name]) -> None:
    """Alert for each of these orders that is late enough and not over. The caller has locked the orders' rows."""
    late = [row._mapping for row in _STORED.rows(work.connection, names)]
    late = [row for row in late if is_alarming(row["minutes_late"], work.settings.late_alert_minutes)]
    ends = ends_of(work.connection, [(row["provider"], row["order_id"]) for row in late])
    for row in late:
        reported_at = time_of(row["news"])
        if not any(end.at >= reported_at for end in ends.get((row["provider"], row["order_id"]), ())):
            work.alert(_alert(row, work))


def is_alarming(minutes_late: int | None, alert_minutes: int) -> bool:
    """Whether the order is at least `alert_minutes` late, or late by an unknown time. Pure."""
    return minutes_late is None or minutes_late >= alert_minutes


def _alert(row: RowMapping, work: UnitOfWork) -> Alert:
    minutes, reported_at = row["minutes_late"], time_of(row["news"])
    by = "by an unknown time" if minutes is None else f"by {minutes} minutes"
    age = age_of(reported_at, work.now)
    return Alert(
        idempotency_key=f"late_delivery:{row['provider']}:{row['order_id']}:{identity_of(row['news'])}",
        topic="late_delivery",
        title=f"Order {row['order_id']} will be late {by}{reported(age)}",
        data={
            "provider": row["provider"],
            "order_id": row["order_id"],
            "event_id": row["event_id"],
            "occurred_at": row["occurred_at"],
            "age_seconds": int(age.total_seconds()),
            "promised_at": row["promised_at"],
            "expected_at": row["expected_at"],
            "minutes_late": minutes,
        },
        happened_at=reported_at,
    )
