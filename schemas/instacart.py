"""Instacart Connect event callbacks, both dialects, as typed wire models and as `Event`s.

*Flat* is the published AsyncAPI 2.6.0 document (`event`, `order_id`, `timestamp`, `items`). *Envelope* is what Instacart's own
documentation shows (`event_name`, `event_id`, `event_timestamp`, `event_metadata`). Strict where the meaning depends on it
(event, order, identity, times of the event, quantities, what was refunded or replaced), lenient elsewhere: what no handler
uses is not declared, and so never fails an event. A parsed document has no cycles, hence `gc=False`.
"""

from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from msgspec import Struct

from schemas.events import Event, Kind, Line, Product, Provider, Window, received_at
from schemas.failures import Reason, Undecodable
from schemas.identity import identity_of, identity_of_content
from schemas.texts import MAX_KEY_CHARS, clean, key, text_or_none
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
"""The most characters that a quantity may take, and the largest and smallest power of ten it may have."""


class _Replacement(Struct, gc=False):
    product_id: str | None = None
    name: Any = None
    quantity: Decimal | None = None


class _Item(Struct, gc=False):
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


class _Order(Struct, gc=False):
    id: str | None = None
    fulfillment_type: Any = None
    estimated_delivery_at: Any = None


class _Metadata(Struct, gc=False):
    order_id: str | None = None
    status: Any = None
    fulfillment_type: Any = None
    order_items: list[_Item] | None = None
    delivery_window: Any = None
    new_window: Any = None


class Callback(Struct, gc=False):
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


_NO_DETAILS = _Order()
_NO_METADATA = _Metadata()


def to_event(callback: Callback, body: bytes, event_id: str, zone: tzinfo) -> Event:
    """Turn a callback into an `Event`; raises `Undecodable` if it cannot be placed."""
    if callback.event_name:
        return _from_envelope(callback, callback.event_name, body, event_id, zone)
    if callback.event:
        return _from_flat(callback, callback.event, body, event_id, zone)
    raise Undecodable(Reason.NO_EVENT, "$.event or $.event_name: expected the name of the event, found none")


def _from_flat(callback: Callback, name: str, body: bytes, event_id: str, zone: tzinfo) -> Event:
    order = callback.order or _NO_DETAILS
    received = received_at(event_id)
    kind = KINDS.get(name, Kind.UNRECOGNISED)
    return Event(
        event_id=event_id,
        identity=identity_of_content(Provider.INSTACART, body),
        provider=Provider.INSTACART,
        name=key(name, "$.event"),
        kind=kind,
        order_ids=(_order_id(callback.order_id, "$.order_id", order.id, "$.order.id"),),
        occurred_at=_time_of_event(callback.timestamp, "$.timestamp", zone, received),
        received_at=received,
        status=_STATUS.get(kind) or text_or_none(callback.status),
        fulfillment_type=text_or_none(order.fulfillment_type),
        promised_at=_time(order.estimated_delivery_at, zone),
        lines=_lines(callback.items, "$.items") if callback.items else (),
    )


def _from_envelope(callback: Callback, name: str, body: bytes, event_id: str, zone: tzinfo) -> Event:
    metadata = callback.event_metadata or _NO_METADATA
    received = received_at(event_id)
    kind = KINDS.get(name, Kind.UNRECOGNISED)
    theirs = _event_id(callback.event_id)
    window, new_window = _window(metadata.delivery_window, zone), _window(metadata.new_window, zone)
    return Event(
        event_id=event_id,
        identity=_identity(theirs, callback.event_timestamp, body),
        provider=Provider.INSTACART,
        name=key(name, "$.event_name"),
        kind=kind,
        order_ids=(_order_id(metadata.order_id, "$.event_metadata.order_id", callback.order_id, "$.order_id"),),
        occurred_at=_time_of_event(callback.event_timestamp, "$.event_timestamp", zone, received),
        received_at=received,
        provider_event_id=theirs,
        status=_STATUS.get(kind) or text_or_none(metadata.status),
        fulfillment_type=text_or_none(metadata.fulfillment_type),
        promised_at=_promise(new_window or window),
        window=window,
        new_window=new_window,
        lines=_lines(metadata.order_items, "$.event_metadata.order_items") if metadata.order_items else (),
    )


def _event_id(sent: str | int | None) -> str | None:
    """As text, quoted or not: as a number it is above 2^53."""
    return None if sent is None or sent == "" else key(str(sent), "$.event_id")


def _identity(theirs: str | None, timestamp: str | None, body: bytes) -> str:
    """`event_id` with `event_timestamp`; without both of them, the content."""
    if theirs and timestamp:
        return identity_of(Provider.INSTACART, theirs, timestamp)
    return identity_of_content(Provider.INSTACART, body)


def _order_id(first: str | None, first_path: str, second: str | None, second_path: str) -> str:
    if first:
        return key(first, first_path)
    if second:
        return key(second, second_path)
    raise Undecodable(Reason.NO_ORDER, f"{first_path} or {second_path}: expected the order's id, found none")


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


def _promise(window: Window | None) -> datetime | None:
    return (window.ends_at or window.starts_at) if window else None


def _lines(items: list[_Item], path: str) -> tuple[Line, ...]:
    taken: dict[str, int] = {}
    lines = []
    for position, item in enumerate(items):
        try:
            lines.append(_line(item, position, taken))
        except Undecodable as error:
            raise Undecodable(error.reason, f"{path}[{position}]{error}") from None
    return tuple(lines)


def _line(item: _Item, position: int, taken: dict[str, int]) -> Line:
    """One line. Its key is the retailer's line number, else the product that was ordered, else the place in the list."""
    product = _first_code(item.product_id, item.requested_item_rrc, item.requested_item_upc, item.item_rrc, item.item_upc)
    quantity = _exact(item.quantity, ".quantity") if item.quantity is not None else _exact(item.qty, ".qty")
    return Line(
        line=_free_key(key(_first_code(item.line_num) or product or f"[{position}]", " (the line's key)"), taken),
        name=text_or_none(item.name),
        product=product,
        quantity=quantity,
        unit=text_or_none(item.qty_unit),
        refunded=item.refunded is True or item.status == "refunded",
        substitute=_substitute(item),
    )


def _free_key(name: str, taken: dict[str, int]) -> str:
    """Number the second line of a name, and so on, until the key is no other line's."""
    free = name
    while free in taken:
        taken[name] += 1
        suffix = f"#{taken[name]}"
        free = name[: MAX_KEY_CHARS - len(suffix)] + suffix
    taken[free] = 1
    return free


def _substitute(item: _Item) -> Product | None:
    """What stands in for the line's product: `replacement` (flat), or the delivered item of a replaced line (envelope)."""
    given = item.replacement
    if given is not None and (given.product_id or given.name or given.quantity is not None):
        name = text_or_none(given.name)
        product = key(given.product_id or (name or "unknown")[:MAX_KEY_CHARS], ".replacement.product_id")
        return Product(product, name, _exact(given.quantity, ".replacement.quantity"))
    if not item.replaced and item.status != "replaced":
        return None
    delivered = _first_code(item.delivered_item_rrc, item.delivered_item_upc, item.item_rrc, item.item_upc, item.scan_code)
    return Product(key(delivered or "unknown", " (the substitute)"), None, _exact(item.qty, ".qty"))


def _first_code(*values: Any) -> str | None:
    """The first that names something. A code sent as a number names the same thing as the same digits in a text."""
    for value in values:
        if type(value) is int:
            return str(value)
        if value and isinstance(value, str):
            return clean(value)
    return None


def _exact(quantity: Decimal | None, path: str) -> Decimal | None:
    """Quantities are kept to the last digit; what no ledger could hold is refused."""
    if quantity is None or (
        quantity.is_finite() and abs(quantity.adjusted()) <= MAX_QUANTITY_DIGITS and len(str(quantity)) <= MAX_QUANTITY_DIGITS
    ):
        return quantity
    raise Undecodable(
        Reason.WRONG_TYPE, f"{path}: expected a quantity of at most {MAX_QUANTITY_DIGITS} digits, got another number"
    )
