"""Customer MIA: the driver is there, the customer is not. One alert while it is open, at once, in a lane of its own.

Open means: reported after the order was last delivered or canceled. The timeline closes alerts; an old report that arrives after the
end of the order opens nothing. A report that arrived before the end, but is handled after it (the lanes do not wait for each other),
leaves a closed alert, and nobody is called for it. Both handlers hold the order's row while they decide: neither misses the other.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, func, literal, select, update

from schemas.events import Event, Kind
from workers.handler import URGENT, UnitOfWork, handler
from workers.ledger.columns import UtcTime
from workers.ledger.news import news_key
from workers.ledger.orders import End, ends_since, lock_orders
from workers.ledger.tables import customer_mia_alerts as table
from workers.ledger.unit_of_work import Alert
from workers.ledger.upsert import insert_new


@handler("customer_mia", Kind.CUSTOMER_MIA, retry=URGENT)
def customer_mia(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Open the alerts of these orders, or keep them open."""
    named = [(event, order_id) for event in sorted(events, key=news_key) for order_id in event.order_ids]
    lock_orders(work.connection, ((event.provider.value, order_id) for event, order_id in named))
    for event, order_id in named:
        ends = ends_since(work.connection, event.provider.value, order_id, event.occurred_at)
        if not ends:
            work.alert(_alert(event, order_id, _report(work.connection, event, order_id, None)))
        elif not any(end.arrived_before(event.event_id) for end in ends):
            _report(work.connection, event, order_id, ends[0])


def _report(connection: Connection, event: Event, order_id: str, closed: End | None) -> str:
    """Note the report on the alert it belongs to, or make one. Returns the identity of the event that opened it."""
    same = _same_alert(event, order_id, closed)
    identity: str | None = connection.scalar(select(table.c.identity).where(same))
    if identity is not None:
        later = func.greatest if connection.dialect.name == "postgresql" else func.max
        reported = later(table.c.last_reported_at, literal(event.occurred_at, UtcTime))
        connection.execute(update(table).where(same).values(last_reported_at=reported))
        return identity
    row = {
        "provider": event.provider.value,
        "order_id": order_id,
        "identity": event.identity,
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "last_reported_at": event.occurred_at,
        "closed_at": closed and closed.occurred_at,
        "closed_by": closed and closed.event_id,
    }
    insert_new(connection, table, [row])
    return event.identity


def _same_alert(event: Event, order_id: str, closed: End | None) -> ColumnElement[bool]:
    """The open alert of the order, or the one that the same event closed."""
    ended = table.c.closed_at.is_(None) if closed is None else table.c.closed_by == closed.event_id
    return and_(table.c.provider == event.provider.value, table.c.order_id == order_id, ended)


def _alert(event: Event, order_id: str, opened_by: str) -> Alert:
    """Said again for every report, under the key of the first: so it is sent once, and survives any crash."""
    return Alert(
        idempotency_key=f"customer_mia:{event.provider.value}:{order_id}:{opened_by}",
        topic="customer_mia",
        title=f"Customer of order {order_id} cannot be found",
        data={
            "provider": event.provider.value,
            "order_id": order_id,
            "event_id": event.event_id,
            "occurred_at": event.occurred_at,
        },
    )
