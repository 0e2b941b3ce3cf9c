"""Customer MIA: the driver is there, the customer is not. One alert while it is open, at once, in a lane of its own.

Open means: reported after the order was last delivered or canceled. The timeline closes alerts; an old report opens nothing once the
end of the order is handled (the lanes do not wait for each other: handled before it, it opens an alert, which the end closes). A report
that arrived before the end, but is handled after it, leaves a closed alert, and nobody is called for it. Both handlers hold the order's row while they decide: neither misses the other.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, literal, select, update

from schemas.events import Event, Kind
from workers.handler import URGENT, UnitOfWork, handler
from workers.ledger.columns import UtcTime
from workers.ledger.news import news_key
from workers.ledger.orders import End, Name, ends_of, lock_orders, names_of
from workers.ledger.tables import customer_mia_alerts as table
from workers.ledger.unit_of_work import Alert
from workers.ledger.upsert import greatest, insert_new, least


@handler("customer_mia", Kind.CUSTOMER_MIA, retry=URGENT)
def customer_mia(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Open the alerts of these orders, or keep them open."""
    named = [(event, name) for event in sorted(events, key=news_key) for name in names_of(event)]
    lock_orders(work.connection, (name for _, name in named))
    its_ends = ends_of(work.connection, [name for _, name in named])
    for event, name in named:
        ends = [end for end in its_ends.get(name, []) if end.occurred_at >= event.occurred_at]
        if not ends:
            work.alert(_alert(event, name[1], _report(work.connection, event, name, None)))
        elif not any(end.arrived_before(event.event_id) for end in ends) and not _is_noted(work.connection, event, name):
            _report(work.connection, event, name, ends[0])


def _report(connection: Connection, event: Event, name: Name, closed: End | None) -> str:
    """Note the report on the alert it belongs to, or make one. Returns the identity of the event that opened it."""
    same = _same_alert(name, closed)
    identity: str | None = connection.scalar(select(table.c.identity).where(same))
    if identity is not None:
        reported = literal(event.occurred_at, UtcTime)
        first, last = least(table.c.first_reported_at, reported), greatest(table.c.last_reported_at, reported)
        connection.execute(update(table).where(same).values(first_reported_at=first, last_reported_at=last))
        return identity
    row = {
        "provider": name[0],
        "order_id": name[1],
        "identity": event.identity,
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "first_reported_at": event.occurred_at,
        "last_reported_at": event.occurred_at,
        "closed_at": closed and closed.occurred_at,
        "closed_by": closed and closed.event_id,
    }
    insert_new(connection, table, [row])
    return event.identity


def _same_alert(name: Name, closed: End | None) -> ColumnElement[bool]:
    """The open alert of the order, or the one that the same event closed."""
    ended = table.c.closed_at.is_(None) if closed is None else table.c.closed_by == closed.event_id
    return and_(_of_order(name), ended)


def _is_noted(connection: Connection, event: Event, name: Name) -> bool:
    """Whether some alert of the order, open or closed, stands for this report already."""
    covers = literal(event.occurred_at, UtcTime).between(table.c.first_reported_at, table.c.last_reported_at)
    return connection.scalar(select(table.c.identity).where(_of_order(name), covers).limit(1)) is not None


def _of_order(name: Name) -> ColumnElement[bool]:
    return and_(table.c.provider == name[0], table.c.order_id == name[1])


def _alert(event: Event, order_id: str, opened_by: str) -> Alert:
    """Said again for every report, under the key of the first: so it is sent once, and survives any crash."""
    return Alert(
        idempotency_key=f"customer_mia:{event.provider}:{order_id}:{opened_by}",
        topic="customer_mia",
        title=f"Customer of order {order_id} cannot be found",
        data={
            "provider": event.provider,
            "order_id": order_id,
            "event_id": event.event_id,
            "occurred_at": event.occurred_at,
        },
    )
