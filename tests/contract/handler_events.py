"""Events for tests of handlers, each with a kind, a minute and an order."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.events import Event, Kind, Line, Product, Provider
from schemas.identity import identity_of

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = "fc-1"

_STATUS = {kind: kind.value for kind in list(Kind)[:8]} | {Kind.ORDER_CREATED: "brand_new"}
_arrivals = itertools.count(1)


def at(minutes: float) -> datetime:
    """So many minutes into the story."""
    return START + timedelta(minutes=minutes)


def event(kind: Kind, minutes: float | None, order: str = ORDER, *, arrival: int | None = None, **fields: Any) -> Event:
    """An event that happened at this minute (None: one without a time of its own), and arrived after all those made before.

    `arrival`: its place in the inbox, if not that. Two are the same event if they are alike in all but their arrival.
    """
    arrival = next(_arrivals) if arrival is None else arrival
    received = at(600) + timedelta(milliseconds=arrival)
    occurred = received if minutes is None else at(minutes)
    identity = identity_of(order, kind, str(minutes), repr(sorted(fields.items())))
    provider = fields.pop("provider", Provider.INSTACART)
    values: dict[str, Any] = {"name": f"fulfillment.{kind}", "status": _STATUS.get(kind), "order_ids": (order,)} | fields
    return Event(
        event_id=f"{int(received.timestamp() * 1000)}-0",
        identity=values.pop("identity", identity),
        provider=provider,
        kind=kind,
        occurred_at=occurred,
        received_at=received,
        **values,
    )


def line(name: str, **fields: Any) -> Line:
    """A line of an order."""
    return Line(line=name, product=name, **fields)


def replaced(name: str, by: str, **fields: Any) -> Line:
    """A line whose product is replaced by another."""
    return Line(line=name, product=name, substitute=Product(by), **fields)
