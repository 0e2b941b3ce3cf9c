"""Customer MIA: the driver is there, the customer is not. One alert while it is open, at once, in a lane of its own.

Open means: reported after the order was last delivered or canceled. The timeline closes alerts; an old report that arrives after the
end of the order opens nothing. Both hold the order's row while they decide, so that neither misses the other.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, func, literal, select, update

from schemas.events import Event, Kind
from workers.handler import UnitOfWork, handler
from workers.ledger.columns import UtcTime
from workers.ledger.news import news_key
from workers.ledger.orders import ended_at, lock_orders
from workers.ledger.tables import customer_mia_alerts as table
from workers.ledger.unit_of_work import Alert
from workers.ledger.upsert import insert_new


@handler("customer_mia", Kind.CUSTOMER_MIA)
def customer_mia(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Open or keep open the alerts of these orders."""
    named = [(event, order_id) for event in sorted(events, key=news_key) for order_id in event.order_ids]
    lock_orders(work.connection, ((event.provider.value, order_id) for event, order_id in named))
    for event, order_id in named:
        ended = ended_at(work.connection, event.provider.value, order_id)
        if ended is None or event.occurred_at > ended:
            work.alert(_alert(event, order_id, _opened_by(work.connection, event, order_id)))


def _opened_by(connection: Connection, event: Event, order_id: str) -> str:
    """The identity of the event that opened the order's alert: an earlier report's, or this one's, now."""
    is_open = _is_open(event, order_id)
    identity: str | None = connection.scalar(select(table.c.identity).where(is_open))
    if identity is not None:
        later = func.greatest if connection.dialect.name == "postgresql" else func.max
        reported = later(table.c.last_reported_at, literal(event.occurred_at, UtcTime))
        connection.execute(update(table).where(is_open).values(last_reported_at=reported))
        return identity
    row = {
        "provider": event.provider.value,
        "order_id": order_id,
        "identity": event.identity,
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "last_reported_at": event.occurred_at,
    }
    insert_new(connection, table, [row])
    return event.identity


def _is_open(event: Event, order_id: str) -> ColumnElement[bool]:
    return and_(table.c.provider == event.provider.value, table.c.order_id == order_id, table.c.closed_at.is_(None))


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
