"""Instacart Connect event callbacks, both dialects, as typed wire models and as `Event`s.

*Flat* is the published AsyncAPI 2.6.0 document (`event`, `order_id`, `timestamp`, `items`). *Envelope* is what Instacart's own
documentation shows (`event_name`, `event_id`, `event_timestamp`, `event_metadata`). Strict where the meaning depends on it
(event, order, identity, times of the event, quantities, what was refunded or replaced), lenient elsewhere: what no handler
uses is not declared, and so never fails an event.
"""

from collections import Counter
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from msgspec import Struct

from schemas.events import Event, Kind, Line, Product, Provider, Window, received_at
from schemas.failures import Reason, Undecodable
from schemas.identity import identity_of, identity_of_content
from schemas.texts import clean, key, text_or_none
from schemas.times import read_time

_ALIASES = {"brand_new": Kind.ORDER_CREATED, "staged": Kind.STAGING, "customer_missing": Kind.CUSTOMER_MIA}
_OURS = (
    Kind.ORDER_CREATED, Kind.ACKNOWLEDGED, Kind.PICKING, Kind.STAGING, Kind.DELIVERING, Kind.DELIVERED, Kind.CANCELED,
    Kind.RESCHEDULED, Kind.LATE_DELIVERY, Kind.ORDER_ITEM_REPLACEMENT, Kind.ORDER_ITEM_REFUND, Kind.CUSTOMER_MIA,
)  # fmt: skip
_KINDS = {kind.value: kind for kind in _OURS} | _ALIASES
KINDS = _KINDS | {f"fulfillment.{name}": kind for name, kind in _KINDS.items()}
"""Every event name we know, with the prefix `fulfillment.` and bare (the provider's sandbox sends bare names)."""

_STATUS = {kind: kind.value for kind in _OURS[:8]} | {Kind.ORDER_CREATED: "brand_new"}
"""The status that a life-cycle event states by its name, in the words of the published status enumeration."""

MAX_QUANTITY_DIGITS = 60
"""The largest and the smallest power of ten that a quantity may have."""


class _Replacement(Struct):
    product_id: str | None = None
    name: Any = None
    quantity: Decimal | None = None


class _Item(Struct):
    """A line of `items` (flat) or of `event_metadata.order_items` (envelope); all optional in both."""

    product_id: str | None = None
    line_num: str | int | None = None
    name: Any = None
    quantity: Decimal | None = None
    qty: Decimal | None = None
    qty_unit: Any = None
    status: str | None = None
    refunded: bool | None = None
    replaced: bool | dict[str, Any] | None = None
    replacement: _Replacement | None = None
    item_upc: Any = None
    item_rrc: Any = None
    scan_code: Any = None
    requested_item_upc: Any = None
    requested_item_rrc: Any = None
    delivered_item_upc: Any = None
    delivered_item_rrc: Any = None


class _Order(Struct):
    id: str | None = None
    fulfillment_type: Any = None
    estimated_delivery_at: Any = None


class _Metadata(Struct):
    order_id: str | None = None
    status: Any = None
    fulfillment_type: Any = None
    order_items: list[_Item] | None = None
    delivery_window: Any = None
    new_window: Any = None


class Callback(Struct):
    """A body of either dialect. `decode` builds its decoder once; see `schemas.decoding`."""

    event: str | None = None
    order_id: str | None = None
    timestamp: str | None = None
    status: str | None = None
    order: _Order | None = None
    items: list[_Item] | None = None
    event_name: str | None = None
    event_id: str | int | None = None
    event_timestamp: str | None = None
    event_metadata: _Metadata | None = None


def to_event(callback: Callback, body: bytes, event_id: str, zone: tzinfo) -> Event:
    """Turn a callback into an `Event`; raises `Undecodable` if it cannot be placed."""
    if callback.event_name:
        return _from_envelope(callback, callback.event_name, body, event_id, zone)
    if callback.event:
        return _from_flat(callback, callback.event, body, event_id, zone)
    raise Undecodable(Reason.NO_EVENT, "$.event or $.event_name: expected the name of the event, found none")


def _from_flat(callback: Callback, name: str, body: bytes, event_id: str, zone: tzinfo) -> Event:
    order = callback.order or _Order()
    received = received_at(event_id)
    kind = KINDS.get(name, Kind.UNRECOGNISED)
    return Event(
        event_id=event_id,
        identity=identity_of_content(Provider.INSTACART, body),
        provider=Provider.INSTACART,
        name=clean(name),
        kind=kind,
        order_ids=(_order_id(callback.order_id or order.id),),
        occurred_at=_time_of_event(callback.timestamp, "$.timestamp", zone, received),
        received_at=received,
        status=_STATUS.get(kind) or text_or_none(callback.status),
        fulfillment_type=text_or_none(order.fulfillment_type),
        promised_at=_time(order.estimated_delivery_at, zone),
        lines=_lines(callback.items, "$.items"),
    )


def _from_envelope(callback: Callback, name: str, body: bytes, event_id: str, zone: tzinfo) -> Event:
    metadata = callback.event_metadata or _Metadata()
    received = received_at(event_id)
    kind = KINDS.get(name, Kind.UNRECOGNISED)
    theirs = None if callback.event_id is None else clean(str(callback.event_id))
    window, new_window = _window(metadata.delivery_window, zone), _window(metadata.new_window, zone)
    current = new_window or window or Window()
    return Event(
        event_id=event_id,
        identity=_identity(theirs, callback.event_timestamp, body),
        provider=Provider.INSTACART,
        name=clean(name),
        kind=kind,
        order_ids=(_order_id(metadata.order_id or callback.order_id),),
        occurred_at=_time_of_event(callback.event_timestamp, "$.event_timestamp", zone, received),
        received_at=received,
        provider_event_id=theirs,
        status=_STATUS.get(kind) or text_or_none(metadata.status),
        fulfillment_type=text_or_none(metadata.fulfillment_type),
        promised_at=current.ends_at or current.starts_at,
        window=window,
        new_window=new_window,
        lines=_lines(metadata.order_items, "$.event_metadata.order_items"),
    )


def _identity(theirs: str | None, timestamp: str | None, body: bytes) -> str:
    """`event_id` with `event_timestamp`; without both of them, the content."""
    if theirs and timestamp:
        return identity_of(Provider.INSTACART, theirs, timestamp)
    return identity_of_content(Provider.INSTACART, body)


def _order_id(order_id: str | None) -> str:
    if not order_id:
        raise Undecodable(
            Reason.NO_ORDER, "$.order_id, $.order.id or $.event_metadata.order_id: expected the order's id, found none"
        )
    return key(order_id, "order id")


def _time_of_event(text: str | None, path: str, zone: tzinfo, received: datetime) -> datetime:
    """Without a time of its own the event is as old as its receipt; with one we cannot read, nobody knows."""
    if not text:
        return received
    time = read_time(text, zone)
    if time is None:
        raise Undecodable(Reason.WRONG_TYPE, f"{path}: expected a date and time (RFC 3339), got other text")
    return time


def _time(value: Any, zone: tzinfo) -> datetime | None:
    return read_time(value, zone) if isinstance(value, str) else None


def _window(value: Any, zone: tzinfo) -> Window | None:
    if not isinstance(value, dict):
        return None
    window = Window(_time(value.get("starts_at"), zone), _time(value.get("ends_at"), zone))
    return window if window.starts_at or window.ends_at else None


def _lines(items: list[_Item] | None, path: str) -> tuple[Line, ...]:
    if not items:
        return ()
    seen: Counter[str] = Counter()
    lines = []
    for position, item in enumerate(items):
        name = _line_key(item, position, path)
        seen[name] += 1
        lines.append(_line(item, name if seen[name] == 1 else f"{name}#{seen[name]}", f"{path}[{position}]"))
    return tuple(lines)


def _line_key(item: _Item, position: int, path: str) -> str:
    """The retailer's line number, or else the product that was ordered, or else the place in the list."""
    name = _first_text(
        item.line_num, item.product_id, item.requested_item_rrc, item.requested_item_upc, item.item_rrc, item.item_upc
    )
    return key(name, f"{path}[{position}]") if name else f"[{position}]"


def _line(item: _Item, line: str, path: str) -> Line:
    return Line(
        line=line,
        name=text_or_none(item.name),
        product=_first_text(item.product_id, item.requested_item_rrc, item.requested_item_upc, item.item_rrc, item.item_upc),
        quantity=_exact(item.quantity if item.quantity is not None else item.qty, path),
        unit=text_or_none(item.qty_unit),
        refunded=item.refunded is True or item.status == "refunded",
        substitute=_substitute(item, path),
    )


def _substitute(item: _Item, path: str) -> Product | None:
    """What stands in for the line's product: `replacement` (flat), or the delivered item of a replaced line (envelope)."""
    given = item.replacement
    if given is not None and (given.product_id or given.name or given.quantity is not None):
        name = text_or_none(given.name)
        product = key(given.product_id or name or "unknown", f"{path}.replacement.product_id")
        return Product(product, name, _exact(given.quantity, f"{path}.replacement"))
    if not item.replaced and item.status != "replaced":
        return None
    delivered = _first_text(item.delivered_item_rrc, item.delivered_item_upc, item.item_rrc, item.item_upc, item.scan_code)
    return Product(key(delivered or "unknown", path), None, _exact(item.qty, path))


def _first_text(*values: Any) -> str | None:
    """The first that names something. A `line_num` sent as a number names the same line as the same digits in a text."""
    return next((clean(str(value)) for value in values if value is not None and value != ""), None)


def _exact(quantity: Decimal | None, path: str) -> Decimal | None:
    """Quantities are kept to the last digit; what no ledger could hold is refused."""
    if quantity is None or (quantity.is_finite() and abs(quantity.adjusted()) <= MAX_QUANTITY_DIGITS):
        return quantity
    raise Undecodable(Reason.WRONG_TYPE, f"{path}: expected a quantity below 1e{MAX_QUANTITY_DIGITS}, got another number")
