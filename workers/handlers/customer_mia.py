"""Customer MIA: the driver has arrived and cannot find the customer. Each open alert is sent once, at once.

An alert is open if it was reported after the order was last delivered or canceled, by the times that order events
(`workers.ledger.event_order`). The timeline handler closes alerts. Its queue and this one run independently:

- A report handled before the end of its order opens an alert. The end then closes it.
- A report handled after the end, but received before it, is stored as a closed alert. No alert is sent.
- A report received and handled after a later end stores nothing.
- Reports before and after an end, handled before it, are one alert until the timeline has handled the end and the later report.
  Then the later one has an alert of its own, which is sent (`workers.ledger.mia_alerts`).

Both handlers lock the order's row while they decide, so each sees what the other has written.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from schemas.events import Event, Kind
from workers.handler import URGENT, UnitOfWork, handler
from workers.ledger.columns import UtcTime
from workers.ledger.event_order import ordering_key
from workers.ledger.lookups import Lookup, Name
from workers.ledger.mia_alerts import Report, alert_of
from workers.ledger.orders import End, ends_of, lock_orders, names_of
from workers.ledger.tables import customer_mia_alerts as table
from workers.ledger.upsert import insert_new

_its = table.c
_ALERTS = Lookup(
    table,
    select(
        _its.provider,
        _its.order_id,
        _its.identity,
        _its.first_reported_at,
        _its.last_reported_at,
        _its.closed_at,
        _its.closed_by,
    ),
)


@handler("customer_mia", Kind.CUSTOMER_MIA, retry=URGENT)
def customer_mia(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Open the alerts of these orders, or extend the alerts that are open."""
    named = [(event, name) for event in sorted(events, key=ordering_key) for name in names_of(event)]
    names = {name for _, name in named}
    lock_orders(work.connection, names)
    ends_by_order, alerts_by_order = ends_of(work.connection, names), _alerts_of(work.connection, names)
    for event, name in named:
        ends = [end for end in ends_by_order.get(name, []) if end.at >= event.ordered_at]
        known = alerts_by_order[name]
        if not ends:
            work.alert(alert_of(name, _as_report(event), _report(event, known, None), work.now))
        elif not any(end.arrived_before(event.event_id) for end in ends) and not any(each.covers(event) for each in known):
            _report(event, known, ends[0])
    _write(work.connection, alerts_by_order)


@dataclass
class _AlertRow:
    """An alert of an order: a stored row, or one to be written."""

    identity: str
    first_reported_at: datetime
    last_reported_at: datetime
    closed: End | None
    opened_by: Event | None = None
    """The event that opens it now; None if the row is stored already."""
    changed: bool = False

    def covers(self, event: Event) -> bool:
        """Whether the row includes this report already."""
        return self.first_reported_at <= event.ordered_at <= self.last_reported_at


def _alerts_of(connection: Connection, names: Collection[Name]) -> dict[Name, list[_AlertRow]]:
    found: dict[Name, list[_AlertRow]] = defaultdict(list)
    for provider, order_id, identity, first, last, closed_at, closed_by in _ALERTS.rows(connection, names):
        closed = None if closed_at is None else End(closed_at, closed_by)
        found[provider, order_id].append(_AlertRow(identity, first, last, closed))
    return found


def _report(event: Event, known: list[_AlertRow], closed: End | None) -> str:
    """Add the report to its alert: the open one, or the one that the same end closed. Create the alert if there is none.

    Returns the identity of the event that opened the alert.
    """
    same = next((each for each in known if (each.closed and each.closed.event_id) == (closed and closed.event_id)), None)
    if same is None:
        same = _AlertRow(event.identity, event.ordered_at, event.ordered_at, closed, event)
        known.append(same)
    same.first_reported_at = min(same.first_reported_at, event.ordered_at)
    same.last_reported_at = max(same.last_reported_at, event.ordered_at)
    same.changed = True
    return same.identity


def _write(connection: Connection, alerts_by_order: dict[Name, list[_AlertRow]]) -> None:
    changed = [(name, each) for name, alerts in alerts_by_order.items() for each in alerts if each.changed]
    insert_new(connection, table, [_row(name, each, each.opened_by) for name, each in changed if each.opened_by])
    if extended := [_extension(name, each) for name, each in changed if not each.opened_by]:
        connection.execute(_EXTEND, extended)


def _row(name: Name, alert: _AlertRow, opened_by: Event) -> dict[str, object]:
    return {
        "provider": name[0],
        "order_id": name[1],
        "identity": alert.identity,
        "event_id": opened_by.event_id,
        "occurred_at": opened_by.occurred_at,
        "received_at": opened_by.received_at,
        "first_reported_at": alert.first_reported_at,
        "last_reported_at": alert.last_reported_at,
        "closed_at": alert.closed and alert.closed.at,
        "closed_by": alert.closed and alert.closed.event_id,
    }


_EXTEND = (
    update(table)
    .where(
        table.c.provider == bindparam("of"), table.c.order_id == bindparam("order"), table.c.identity == bindparam("opened_by")
    )
    .values(first_reported_at=bindparam("first", type_=UtcTime), last_reported_at=bindparam("last", type_=UtcTime))
)


def _extension(name: Name, alert: _AlertRow) -> dict[str, object]:
    times = {"first": alert.first_reported_at, "last": alert.last_reported_at}
    return {"of": name[0], "order": name[1], "opened_by": alert.identity, **times}


def _as_report(event: Event) -> Report:
    return Report(event.ordered_at, event.identity, event.event_id, event.occurred_at, event.received_at)
