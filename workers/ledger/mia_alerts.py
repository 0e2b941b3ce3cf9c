"""What the timeline and the handler of missing customers share: the alert's text, and how the end of an order settles it.

An end closes the open alert that was last reported no later than the end. If an alert was reported before and after an end, because
its reports were handled before the end was, it was two: the first part is closed, the report after the end opens an alert of its
own, and that one is sent. This needs the end and the report in the order's history. Whichever the timeline handles last settles it.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from schemas.events import Event, Kind
from workers.ledger.ages import age_of, reported
from workers.ledger.event_order import ordering_key, stored_time
from workers.ledger.lookups import Lookup, Name
from workers.ledger.orders import TERMINAL, End, ends_of, names_of
from workers.ledger.tables import customer_mia_alerts as table
from workers.ledger.tables import order_events
from workers.ledger.unit_of_work import Alert, UnitOfWork
from workers.ledger.upsert import Row, insert_new

_its, _event = table.c, order_events.c
_OPEN = Lookup(
    table,
    select(_its.provider, _its.order_id, _its.identity, _its.first_reported_at, _its.last_reported_at).where(
        _its.closed_at.is_(None)
    ),
)
_REPORTS = Lookup(
    order_events,
    select(
        _event.provider, _event.order_id, _event.identity, _event.event_id, _event.ordered_at, _event.occurred_at,
        _event.received_at,
    ).where(_event.kind == Kind.CUSTOMER_MIA.value),
)  # fmt: skip
_CLOSE = (
    update(table)
    .where(_its.provider == bindparam("its_provider"), _its.order_id == bindparam("its_order"))
    .where(_its.closed_at.is_(None), _its.last_reported_at <= bindparam("at"))
    .values(closed_at=bindparam("at"), closed_by=bindparam("by"))
)
_ALL = select(_its.identity, _its.first_reported_at, _its.last_reported_at, _its.closed_by).where(
    _its.provider == bindparam("its_provider"), _its.order_id == bindparam("its_order")
)
_CHANGE = update(table).where(
    _its.provider == bindparam("its_provider"),
    _its.order_id == bindparam("its_order"),
    _its.identity == bindparam("its_identity"),
)


class Report(NamedTuple):
    """A report of a missing customer. `at`: the time that orders it."""

    at: datetime
    identity: str
    event_id: str
    occurred_at: datetime
    received_at: datetime


def alert_of(name: Name, report: Report, opened_by: str, now: datetime) -> Alert:
    """The alert. Each report writes it again under the key of the first: it is sent once, and a crash loses none.

    If the first was too old to be sent (`ALERT_MAX_AGE`), a fresh report sends it.
    """
    age = age_of(report.at, now)
    return Alert(
        idempotency_key=f"customer_mia:{name[0]}:{name[1]}:{opened_by}",
        topic="customer_mia",
        title=f"Customer of order {name[1]} cannot be found{reported(age)}",
        data={
            "provider": name[0],
            "order_id": name[1],
            "event_id": report.event_id,
            "occurred_at": report.occurred_at,
            "age_seconds": int(age.total_seconds()),
        },
        happened_at=report.at,
    )


def settle_alerts(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Close or split the open alerts of the orders that these events end or report on. They are in the history already."""
    settling = [event for event in events if event.kind in TERMINAL or event.kind is Kind.CUSTOMER_MIA]
    rows = {(row.provider, row.order_id): row for row in _OPEN.rows(work.connection, _names(settling))}
    if not rows:
        return
    ends = [event for event in sorted(settling, key=ordering_key) if event.kind in TERMINAL]
    closing = [
        {"its_provider": name[0], "its_order": name[1], "at": event.ordered_at, "by": event.event_id}
        for event in ends
        for name in names_of(event)
        if name in rows
    ]
    if closing:
        work.connection.execute(_CLOSE, closing)
    closed = {
        name for event in ends for name in names_of(event) if name in rows and event.ordered_at >= rows[name].last_reported_at
    }
    _split(work, {name: row for name, row in rows.items() if name not in closed})


def _split(work: UnitOfWork, rows: dict[Name, Any]) -> None:
    """Split the alerts that an end lies within, as far as the history tells who reported after it."""
    ends_by_order = {
        name: earlier
        for name, ends in ends_of(work.connection, rows).items()
        if (earlier := [end for end in ends if end.at < rows[name].last_reported_at])
    }
    reports = _reports_of(work.connection, ends_by_order)
    for name, ends in sorted(ends_by_order.items()):
        after = [each for each in reports[name] if each.at > ends[-1].at]
        if not after:
            continue
        row, end = rows[name], ends[-1]
        before = [each for each in reports[name] if row.first_reported_at <= each.at <= end.at]
        if row.first_reported_at > end.at:
            _change(work.connection, name, row.identity, first_reported_at=min(after[0].at, row.first_reported_at))
        elif row.identity in {each.identity for each in after}:
            _change(work.connection, name, row.identity, first_reported_at=after[0].at)
            if before:
                insert_new(work.connection, table, [_row(name, before[0], **_closed(before, row, ends))])
        else:
            _change(work.connection, name, row.identity, **_closed(before, row, ends))
            still_open = {"first_reported_at": after[0].at, "last_reported_at": row.last_reported_at}
            _free_identity(work.connection, name, after[0].identity, reports[name])
            insert_new(work.connection, table, [_row(name, after[0], **still_open)])
            work.alert(alert_of(name, after[0], after[0].identity, work.now))


def _free_identity(connection: Connection, name: Name, identity: str, reports: Sequence[Report]) -> None:
    """Let a closed alert give up the identity of a report that now opens an alert of its own.

    The alert was opened by that report and has been split since: what is left of it are earlier reports. It takes the identity of
    one of them; while the history has none, that of the end that closed it.
    """
    rows = connection.execute(_ALL, {"its_provider": name[0], "its_order": name[1]}).all()
    for row in rows:
        if row.identity == identity:
            taken = {each.identity for each in rows}
            left = (each for each in reports if row.first_reported_at <= each.at <= row.last_reported_at)
            other = next((each for each in left if each.identity not in taken), None)
            about = {} if other is None else _about(other)
            _change(connection, name, identity, **{"identity": f"{identity}:{row.closed_by}"} | about)


def _closed(reports: Sequence[Report], row: Any, ends: Sequence[End]) -> dict[str, Any]:
    """The times of an alert of these reports, which the earliest end after the last of them closed."""
    last = max([row.first_reported_at, *(each.at for each in reports)])
    end = next(each for each in ends if each.at >= last)
    return {
        "first_reported_at": row.first_reported_at,
        "last_reported_at": last,
        "closed_at": end.at,
        "closed_by": end.event_id,
    }


def _row(name: Name, opened_by: Report, **values: Any) -> Row:
    return {"provider": name[0], "order_id": name[1], **_about(opened_by), **values}


def _about(opened_by: Report) -> Row:
    """The columns that say which report opened an alert."""
    return {
        "identity": opened_by.identity,
        "event_id": opened_by.event_id,
        "occurred_at": opened_by.occurred_at,
        "received_at": opened_by.received_at,
    }


def _change(connection: Connection, name: Name, opened_by: str, /, **values: object) -> None:
    connection.execute(_CHANGE, {"its_provider": name[0], "its_order": name[1], "its_identity": opened_by, **values})


def _reports_of(connection: Connection, names: Collection[Name]) -> dict[Name, list[Report]]:
    """The reports in the history of each order, earliest first."""
    found: dict[Name, list[Report]] = defaultdict(list)
    for provider, order_id, identity, event_id, ordered_at, occurred_at, received_at in _REPORTS.rows(connection, names):
        at = stored_time(ordered_at, occurred_at, received_at)
        found[provider, order_id].append(Report(at, identity, event_id, occurred_at, received_at))
    for each in found.values():
        each.sort()
    return found


def _names(events: Sequence[Event]) -> list[Name]:
    return [name for event in events for name in names_of(event)]
