"""A handler with a table of its own: ten points for each delivered order, once.

HANDLER_MODULES=points curbside worker
"""

from collections.abc import Sequence

from sqlalchemy import Column, Integer, MetaData, String, Table, text

from workers.handler import Event, Kind, UnitOfWork, handler

metadata = MetaData()
Table(
    "points",
    metadata,
    Column("provider", String, primary_key=True),
    Column("order_id", String, primary_key=True),
    Column("points", Integer, nullable=False),
)

_ADD = text("INSERT INTO points (provider, order_id, points) VALUES (:provider, :order_id, 10) ON CONFLICT DO NOTHING")


@handler("points", Kind.DELIVERED)
def points(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Give each delivered order its points. The primary key makes a second time a no-op."""
    orders = sorted({(event.provider, order_id) for event in events for order_id in event.order_ids})
    work.connection.execute(_ADD, [{"provider": provider, "order_id": order_id} for provider, order_id in orders])
