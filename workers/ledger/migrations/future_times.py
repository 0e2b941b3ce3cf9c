"""Mends what release 0.1 stored under times that lie in the future, which it let rule for ever.

Ordering keys, reports and last events of the future get the time that bounds them today. Where the history tells more, the state of
the order is worked out from it again: what a time of year 9999 had frozen.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, TableClause, column, or_, select, table, update

from schemas.events import CLOCK_TOLERANCE, bounded
from workers.ledger.columns import UtcTime
from workers.ledger.event_order import identity_of, ordering_key_of, sortable, time_of
from workers.ledger.lateness import PROMISING, is_estimate

_KEYS = {
    "orders": ("number_news", "fulfillment_type_news", "status_news", "expected_news", "promised_news"),
    "late_deliveries": ("news",),
    "replacements": ("first_news", "last_news"),
    "refunds": ("first_news",),
}
"""The columns of 0.1 that hold ordering keys."""
_OTHERS = {
    "orders": ("status", "status_at", "expected_at", "promised_at", "first_event_at", "last_event_at"),
    "replacements": ("line", "substitute"),
    "refunds": ("line",),
}
_KEY = ("provider", "order_id", "line", "substitute", "identity")
_REPORTED = ("first_reported_at", "last_reported_at")


def mend_future_times(connection: Connection, now: datetime) -> None:
    """Mend all rows. It reads each table once, and writes only what is wrong."""
    limit = now + CLOCK_TOLERANCE
    for name, columns in _KEYS.items():
        its = _table(name, *columns, *_OTHERS.get(name, ()))
        for row in connection.execute(select(its).where(or_(*(its.c[each] > sortable(limit) for each in columns)))).mappings():
            history = _History(connection, row, now)
            mended = {each: history.bounded_key(row[each]) for each in columns if row[each] is not None}
            if name == "orders":
                mended |= history.state()
            _write(connection, its, row, mended)
    reports = _table("customer_mia_alerts", "identity", "received_at", *_REPORTED)
    for row in connection.execute(select(reports).where(reports.c.last_reported_at > limit)).mappings():
        _write(connection, reports, row, {each: bounded(row[each], row["received_at"]) for each in _REPORTED})


class _History:
    """The events of one order, as 0.1 stored them."""

    def __init__(self, connection: Connection, of: RowMapping, now: datetime) -> None:
        its = _table("order_events", "identity", "kind", "status", "expected_at", "occurred_at", "received_at")
        query = select(its).where(its.c.provider == of["provider"], its.c.order_id == of["order_id"])
        self._events = connection.execute(query).mappings().all()
        self._received = {row["identity"]: row["received_at"] for row in self._events}
        self._now = now

    def bounded_key(self, key: str) -> str:
        """The ordering key with its time bounded by the receipt of its event; by now, if the history does not have the event."""
        received_at = self._received.get(identity_of(key), self._now)
        return sortable(bounded(time_of(key), received_at)) + key[key.index("|") :]

    def state(self) -> dict[str, Any]:
        """The columns of `orders` that the history tells."""
        by_key = sorted(((self._key(row), row) for row in self._events), key=lambda each: each[0])
        times = [time_of(key) for key, _ in by_key]
        found: dict[str, Any] = {"first_event_at": min(times), "last_event_at": max(times)} if times else {}
        for key, row in by_key:  # the newest is the last
            if row["status"]:
                found |= {"status": row["status"], "status_at": row["occurred_at"], "status_news": key}
            if is_estimate(row["expected_at"]):
                found |= {"expected_at": row["expected_at"], "expected_news": key}
                if row["kind"] in PROMISING:
                    found |= {"promised_at": row["expected_at"], "promised_news": key}
        return found

    @staticmethod
    def _key(row: RowMapping) -> str:
        return ordering_key_of(bounded(row["occurred_at"], row["received_at"]), row["status"], row["identity"])


def _table(name: str, *columns: str) -> TableClause:
    """A table of 0.1 with these columns."""
    typed = [column(each, UtcTime) if each.endswith("_at") else column(each) for each in ("provider", "order_id", *columns)]
    return table(name, *typed)


def _write(connection: Connection, its: TableClause, row: RowMapping, values: dict[str, Any]) -> None:
    key = [its.c[name] == row[name] for name in _KEY if name in its.c]
    connection.execute(update(its).where(*key).values(values))
