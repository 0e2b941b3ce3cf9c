"""Replacements: one row for each order, line and substitute. A newer substitute supersedes the older ones of its line.

Every event carries the whole item list, so only a substitute that is new to its line is a new replacement. A superseded
substitute that a newer event lists again becomes the line's substitute again.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select, update

from schemas.events import Effect, Event, Kind, Line, Product
from workers.handler import UnitOfWork, handler
from workers.ledger.event_order import ordering_key
from workers.ledger.orders import lock_orders
from workers.ledger.tables import replacements as table
from workers.ledger.unreadable_parts import fail_unreadable
from workers.ledger.upsert import Assignments, Insert, Row, newer, older, upsert

_FIRST_COLUMNS = (
    "event_id", "occurred_at", "received_at", "product", "product_name", "quantity", "unit", "substitute_name",
    "substitute_quantity",
)  # fmt: skip


_its, _rival = table.c, table.alias("rival").c
_SUPERSEDE = (
    update(table)
    .where(_its.provider == bindparam("its_provider"), _its.order_id == bindparam("its_order"))
    .where(_its.line == bindparam("its_line"))
    .values(
        superseded_by=func.nullif(
            select(_rival.substitute)
            .where(_rival.provider == _its.provider, _rival.order_id == _its.order_id, _rival.line == _its.line)
            .order_by(_rival.last_news.desc(), _rival.substitute.desc())
            .limit(1)
            .correlate(table)
            .scalar_subquery(),
            _its.substitute,
        )
    )
)


@handler("replacements", Kind.ORDER_ITEM_REPLACEMENT)
def replacements(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Write the replacements of these events, and which substitute is the current one of each line."""
    fail_unreadable(work, events, Effect.REPLACEMENT)
    if not (rows := fold(events)):
        return
    lock_orders(work.connection, ((row["provider"], row["order_id"]) for row in rows))
    upsert(work.connection, table, rows, _assign)
    _supersede(work.connection, rows)


def _assign(statement: Insert) -> Assignments:
    return older(statement, table, "first_news", _FIRST_COLUMNS) | newer(statement, table, "last_news", ())


def fold(events: Sequence[Event]) -> list[Row]:
    """One row for each line and substitute: the first event's values, and the newest event's ordering key; sorted. Pure."""
    rows: dict[tuple[str, str, str, str], Row] = {}
    for event in sorted(events, key=ordering_key):
        for order_id in event.order_ids:
            for line in event.lines:
                if line.substitute is not None:
                    row = _row(event, order_id, line, line.substitute)
                    key = (event.provider, order_id, line.line, line.substitute.product)
                    rows.setdefault(key, row)["last_news"] = row["last_news"]
    return [rows[key] for key in sorted(rows)]


def _row(event: Event, order_id: str, line: Line, substitute: Product) -> Row:
    return {
        "provider": event.provider,
        "order_id": order_id,
        "line": line.line,
        "substitute": substitute.product,
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "first_news": ordering_key(event),
        "last_news": ordering_key(event),
        "product": line.product,
        "product_name": line.name,
        "quantity": line.quantity,
        "unit": line.unit,
        "substitute_name": substitute.name,
        "substitute_quantity": substitute.quantity,
    }


def _supersede(connection: Connection, rows: Sequence[Row]) -> None:
    """On each line, let the substitute with the newest ordering key supersede the others."""
    lines = sorted({(row["provider"], row["order_id"], row["line"]) for row in rows})
    connection.execute(_SUPERSEDE, [dict(zip(("its_provider", "its_order", "its_line"), line, strict=True)) for line in lines])
