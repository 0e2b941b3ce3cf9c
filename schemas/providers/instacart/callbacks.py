"""Instacart Connect event callbacks, both dialects, as typed wire models and as `Event`s.

*Flat* is the published AsyncAPI 2.6.0 document (`event`, `order_id`, `timestamp`, `items`). *Envelope* is what Instacart's own
documentation shows (`event_name`, `event_id`, `event_timestamp`, `event_metadata`). An event needs its name and its order. Each
other part is read for itself, and fails nothing but what needs it. A parsed document has no cycles, hence `gc=False`.
"""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr

from schemas.drift import Shape, shape_of
from schemas.events import Event, Kind, Provider, Unreadable, bounded, received_at
from schemas.failures import DecodeError, Reason
from schemas.identity import identity_of, identity_of_content
from schemas.messages import kinds_of
from schemas.parsing.lenient import ABSENT, Lenient, Straight, Unread
from schemas.parsing.structure import straightened
from schemas.parsing.texts import MAX_KEY_CHARS, event_key, text_or_none, unusual_name
from schemas.parsing.times import note_no_time, time_of_event
from schemas.parsing.tolerant import mended, object_in
from schemas.parsing.values import decimal_of, id_of, json_type
from schemas.providers.instacart.items import Item
from schemas.providers.instacart.lines import lines_of
from schemas.providers.instacart.windows import SentWindow, estimate_of, promise_of, window_of

_NAME = Provider.INSTACART.value
KINDS = kinds_of(Provider.INSTACART)
_LIFE_CYCLE = (
    Kind.ACKNOWLEDGED, Kind.PICKING, Kind.STAGING, Kind.DELIVERING, Kind.DELIVERED, Kind.CANCELED, Kind.RESCHEDULED,
)  # fmt: skip
_STATUS = {kind: kind.value for kind in _LIFE_CYCLE} | {Kind.ORDER_CREATED: "brand_new"}
"""The status that a life-cycle event states by its name, in the words of the published status enumeration."""
_STATUSES = frozenset(_STATUS.values())
_OF_ITEMS = frozenset({Kind.ORDER_ITEM_REPLACEMENT, Kind.ORDER_ITEM_REFUND})
"""Events of items. A status in them is not the order's."""


class FlatOrder(Struct, gc=False):
    """`order` of a flat callback. Published."""

    id: Lenient[str] = None
    user_id: Unread[str] = ABSENT
    fulfillment_type: Lenient[str] = None
    created_at: Unread[str] = ABSENT
    estimated_delivery_at: Lenient[str] = None


class Flat(Struct, gc=False):
    """A callback in the flat dialect: `OrderEventPayload` and `ItemEventPayload` of the published document in one."""

    event: Lenient[str] = None
    order_id: Lenient[str] = None
    timestamp: Lenient[str] = None
    status: Lenient[str] = None
    order: Straight[FlatOrder] = None
    items: Straight[list[Item]] = None


class Metadata(Struct, gc=False):
    """`event_metadata`: which fields come varies with the retailer's configuration (the provider's documentation).

    `store_location`, `retailer_id`: documented. The others were seen in integrators' test bodies.
    """

    order_id: Lenient[str] = None
    status: Lenient[str] = None
    fulfillment_type: Lenient[str] = None
    order_items: Straight[list[Item]] = None
    delivery_window: Lenient[SentWindow] = None
    new_window: Lenient[SentWindow] = None
    store_location: Unread[str] = ABSENT
    retailer_id: Unread[str | int] = ABSENT
    user_id: Unread[str] = ABSENT
    cancellation_reason: Unread[str] = ABSENT
    order_url: Unread[str] = ABSENT
    status_link: Unread[str] = ABSENT
    pickup_link: Unread[str] = ABSENT


class Envelope(Struct, gc=False):
    """A callback in the envelope dialect. `event_id` is an integer above 2^53, or the same quoted; it is kept as text."""

    event_name: Lenient[str] = None
    event_id: Lenient[str | int] = None
    event_timestamp: Lenient[str] = None
    event_metadata: Straight[Metadata] = None
    order_id: Lenient[str] = None


_NO_ORDER = FlatOrder()
_NO_METADATA = Metadata()
_decode_flat = msgspec.json.Decoder(Flat, float_hook=decimal_of).decode
_decode_envelope = msgspec.json.Decoder(Envelope, float_hook=decimal_of).decode


_FLAT, _ENVELOPE = shape_of(Flat), shape_of(Envelope)


def shape_for(document: Mapping[str, Any]) -> Shape:
    """What is expected of such a document."""
    return _ENVELOPE if document.get("event_name") else _FLAT


def decode(body: bytes, event_id: str, zone: tzinfo) -> Event:
    """Decode a callback; raises `DecodeError` if it cannot be placed, and the errors of msgspec.

    A cheap check chooses the dialect. If the body has no event name in that dialect, it is decoded in the other. A body of
    another structure than documented is read once more, with its structure mended.
    """
    try:
        is_envelope = b'"event_name"' in body and (envelope := _decode_envelope(body)).event_name
        if is_envelope and type(is_envelope) is str:
            return _from_envelope(envelope, body, event_id, zone, [])
        if (flat := _decode_flat(body)).event:
            return _from_flat(flat, body, event_id, zone, [])
        if (envelope := _decode_envelope(body)).event_name:  # its key contains escapes
            return _from_envelope(envelope, body, event_id, zone, [])
    except msgspec.ValidationError as error:
        return decode_document(object_in(body, error), mended(body), event_id, zone)
    raise _no_event()


def _no_event() -> DecodeError:
    return DecodeError(Reason.NO_EVENT, "$.event or $.event_name: expected the name of the event, found none")


def decode_document(document: dict[str, Any], body: bytes, event_id: str, zone: tzinfo) -> Event:
    """Decode a callback of another structure than documented. It gives the same event for one that is as documented."""
    odd: list[Unreadable] = []
    name, is_flat = document.get("event_name"), bool(document.get("event"))
    if name and (not is_flat or (type(name) is str and b'"event_name"' in body)):
        event = _from_envelope(straightened(document, Envelope, odd), body, event_id, zone, odd)
    elif is_flat:
        event = _from_flat(straightened(document, Flat, odd), body, event_id, zone, odd)
    else:
        raise _no_event()
    force_setattr(event, "mended", True)
    return event


def _from_flat(callback: Flat, body: bytes, event_id: str, zone: tzinfo, odd: list[Unreadable]) -> Event:
    order = callback.order or _NO_ORDER
    received = received_at(event_id)
    name: Any = callback.event
    kind = KINDS.get(name) if type(name) is str else None
    if kind is None:
        name, kind = unusual_name(name, "$.event", KINDS)
    occurred_at = time_of_event(callback.timestamp, "$.timestamp", zone, odd)
    promised_at = estimate_of(order.estimated_delivery_at, zone)
    if promised_at is None and order.estimated_delivery_at:
        note_no_time(order.estimated_delivery_at, "$.order.estimated_delivery_at", odd)
    at = occurred_at or received
    return Event(
        event_id=event_id,
        identity=identity_of_content(Provider.INSTACART, body),
        provider=_NAME,
        name=name,
        kind=kind,
        order_ids=(_order_id(callback.order_id, "$.order_id", order.id, "$.order.id"),),
        occurred_at=at,
        received_at=received,
        status=_STATUS.get(kind) or _status(kind, callback.status),
        fulfillment_type=text_or_none(order.fulfillment_type),
        promised_at=promised_at,
        lines=lines_of(callback.items, "$.items", odd) if callback.items else (),
        unreadable=tuple(odd) if odd else (),
        has_time=occurred_at is not None,
        ordered_at=at if at <= received else bounded(at, received),
    )


def _from_envelope(callback: Envelope, body: bytes, event_id: str, zone: tzinfo, odd: list[Unreadable]) -> Event:
    metadata = callback.event_metadata or _NO_METADATA
    received = received_at(event_id)
    name: Any = callback.event_name
    kind = KINDS.get(name) if type(name) is str else None
    if kind is None:
        name, kind = unusual_name(name, "$.event_name", KINDS)
    theirs = str(callback.event_id) if type(callback.event_id) is int else event_key(callback.event_id, "$.event_id", odd)
    window, new_window = window_of(metadata.delivery_window, zone), window_of(metadata.new_window, zone)
    if window is None and metadata.delivery_window:
        note_no_time(metadata.delivery_window, "$.event_metadata.delivery_window", odd)
    if new_window is None and metadata.new_window:
        note_no_time(metadata.new_window, "$.event_metadata.new_window", odd)
    occurred_at = time_of_event(callback.event_timestamp, "$.event_timestamp", zone, odd)
    at = occurred_at or received
    return Event(
        event_id=event_id,
        identity=_identity(theirs, callback.event_timestamp, body),
        provider=_NAME,
        name=name,
        kind=kind,
        order_ids=(_order_id(metadata.order_id, "$.event_metadata.order_id", callback.order_id, "$.order_id"),),
        occurred_at=at,
        received_at=received,
        provider_event_id=theirs,
        status=_STATUS.get(kind) or _status(kind, metadata.status),
        fulfillment_type=text_or_none(metadata.fulfillment_type),
        promised_at=promise_of(new_window or window),
        window=window,
        new_window=new_window,
        lines=lines_of(metadata.order_items, "$.event_metadata.order_items", odd) if metadata.order_items else (),
        unreadable=tuple(odd) if odd else (),
        has_time=occurred_at is not None,
        ordered_at=at if at <= received else bounded(at, received),
    )


def _identity(theirs: str | None, timestamp: Any, body: bytes) -> str:
    """The identity: `event_id` with `event_timestamp`, or the content if one is missing."""
    if theirs and (at := timestamp if type(timestamp) is str else id_of(timestamp)):
        return identity_of(Provider.INSTACART, theirs, at)
    return identity_of_content(Provider.INSTACART, body)


def _status(kind: Kind, sent: Any) -> str | None:
    """The status of the order that an event states beside its name: one of those that are published."""
    if type(sent) is not str or kind in _OF_ITEMS:
        return None
    status = sent.strip().lower()
    return status if status in _STATUSES else None


def _order_id(first: Any, first_path: str, second: Any, second_path: str) -> str:
    """The order's id: the first of two that can be one. Raises `DecodeError` if neither can."""
    order_id = first if type(first) is str else id_of(first)
    if order_id and len(order_id) <= MAX_KEY_CHARS:
        return order_id
    other_id = id_of(second)
    if other_id and len(other_id) <= MAX_KEY_CHARS:
        return other_id
    for each, path in ((order_id, first_path), (other_id, second_path)):
        if each:
            raise DecodeError(Reason.WRONG_TYPE, f"{path}: expected at most {MAX_KEY_CHARS} characters, got {len(each)}")
    raise _no_order(((first, first_path), (second, second_path)))


def _no_order(sent: tuple[tuple[Any, str], ...]) -> DecodeError:
    for value, path in sent:
        if value is not None and value != "":
            return DecodeError(Reason.WRONG_TYPE, f"{path}: expected string, got {json_type(value)}")
    return DecodeError(Reason.NO_ORDER, f"{sent[0][1]} or {sent[1][1]}: expected the order's id, found none")
