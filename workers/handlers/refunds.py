"""Refunds: one row for each order and line, from the first event that lists it. Every event carries the whole item list."""

from collections.abc import Sequence

from schemas.events import Effect, Event, Kind
from workers.handler import UnitOfWork, handler
from workers.ledger.event_order import ordering_key
from workers.ledger.tables import refunds as table
from workers.ledger.unreadable_parts import fail_unreadable
from workers.ledger.upsert import Assignments, Insert, Row, older, upsert

_REFUND_COLUMNS = ("event_id", "occurred_at", "received_at", "product", "product_name", "quantity", "unit")


@handler("refunds", Kind.ORDER_ITEM_REFUND)
def refunds(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Write the refunds of these events."""
    upsert(work.connection, table, fold(events), _assign)
    fail_unreadable(work, events, Effect.REFUND)


def _assign(statement: Insert) -> Assignments:
    return older(statement, table, "first_news", _REFUND_COLUMNS)


def fold(events: Sequence[Event]) -> list[Row]:
    """One row for each refunded line, as the first event has it; sorted. Pure."""
    rows: dict[tuple[str, str, str], Row] = {}
    for event in sorted(events, key=ordering_key):
        for order_id in event.order_ids:
            for line in event.lines:
                if line.refunded:
                    row = {
                        "provider": event.provider,
                        "order_id": order_id,
                        "line": line.line,
                        "event_id": event.event_id,
                        "occurred_at": event.occurred_at,
                        "received_at": event.received_at,
                        "first_news": ordering_key(event),
                        "product": line.product,
                        "product_name": line.name,
                        "quantity": line.quantity,
                        "unit": line.unit,
                    }
                    rows.setdefault((event.provider, order_id, line.line), row)
    return [rows[key] for key in sorted(rows)]
