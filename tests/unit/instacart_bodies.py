"""Bodies of Instacart Connect with chosen fields, and the events they decode to."""

from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from schemas.decoding import decode
from schemas.events import Event, Line
from tests.payloads import ENVELOPE_ORDER, FLAT_ORDER

RECEIVED = "1732300000123-4"


def read(body: dict[str, Any] | bytes, zone: str = "UTC") -> Event:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return decode("instacart", raw, RECEIVED, ZoneInfo(zone))


def flat(event: str = "fulfillment.picking", **fields: Any) -> dict[str, Any]:
    return {"event": event, "order_id": FLAT_ORDER, "timestamp": "2024-11-22T16:31:40Z"} | fields


def envelope(event: str = "fulfillment.picking", **metadata: Any) -> dict[str, Any]:
    return {
        "event_id": 1201895966044343904,
        "event_name": event,
        "event_timestamp": "2024-11-22T16:31:40Z",
        "event_metadata": {"order_id": ENVELOPE_ORDER} | metadata,
    }


def line_of(**item: Any) -> Line:
    """The one line of an envelope with this one order item."""
    (line,) = read(envelope(order_items=[item])).lines
    return line
