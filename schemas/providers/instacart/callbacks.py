"""Instacart Connect event callbacks, both dialects, as typed wire models and as `Event`s.

*Flat* is the published AsyncAPI 2.6.0 document (`event`, `order_id`, `timestamp`, `items`). *Envelope* is what Instacart's own
documentation shows (`event_name`, `event_id`, `event_timestamp`, `event_metadata`). Strict where the meaning depends on it
(event, order, identity, times of the event, quantities, what was refunded or replaced), lenient elsewhere. A parsed document has no
cycles, hence `gc=False`.
"""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from schemas.drift import Shape, shape_of
from schemas.events import Event, Kind, Provider, Window, received_at
from schemas.failures import DecodeError, Reason
from schemas.identity import identity_of, identity_of_content
from schemas.messages import kinds_of
from schemas.parsing.lenient import ABSENT, Lenient, Unread
from schemas.parsing.texts import key, text_or_none
from schemas.parsing.times import read_time
from schemas.providers.instacart.lines import Item, lines_of

_NAME = Provider.INSTACART.value
KINDS = kinds_of(Provider.INSTACART)
_LIFE_CYCLE = (
    Kind.ACKNOWLEDGED, Kind.PICKING, Kind.STAGING, Kind.DELIVERING, Kind.DELIVERED, Kind.CANCELED, Kind.RESCHEDULED,
)  # fmt: skip
_STATUS = {kind: kind.value for kind in _LIFE_CYCLE} | {Kind.ORDER_CREATED: "brand_new"}
"""The status that a life-cycle event states by its name, in the words of the published status enumeration."""


class FlatOrder(Struct, gc=False):
    """`order` of a flat callback. Published."""

    id: str | None = None
    user_id: Unread[str] = ABSENT
    fulfillment_type: Lenient[str] = None
    created_at: Unread[str] = ABSENT
    estimated_delivery_at: Lenient[str] = None


class Flat(Struct, gc=False):
    """A callback in the flat dialect: `OrderEventPayload` and `ItemEventPayload` of the published document in one."""

    event: str | None = None
    order_id: str | None = None
    timestamp: str | None = None
    status: str | None = None
    order: FlatOrder | None = None
    items: list[Item] | None = None


class SentWindow(Struct, gc=False):
    """A delivery window as sent: `YYYY-MM-DD HH:MM:SS` without a zone, or RFC 3339."""

    starts_at: Lenient[str] = None
    ends_at: Lenient[str] = None


class Metadata(Struct, gc=False):
    """`event_metadata`: which fields come varies with the retailer's configuration (the provider's documentation).

    `store_location`, `retailer_id`: documented. The others were seen in integrators' test bodies.
    """

    order_id: str | None = None
    status: Lenient[str] = None
    fulfillment_type: Lenient[str] = None
    order_items: list[Item] | None = None
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

    event_name: str | None = None
    event_id: str | int | None = None
    event_timestamp: str | None = None
    event_metadata: Metadata | None = None
    order_id: str | None = None


_NO_ORDER = FlatOrder()
_NO_METADATA = Metadata()
# float_hook: in a lenient field, a fraction that no float could hold is infinite, and fails no event
_decode_flat = msgspec.json.Decoder(Flat, float_hook=float).decode
_decode_envelope = msgspec.json.Decoder(Envelope, float_hook=float).decode


_FLAT, _ENVELOPE = shape_of(Flat), shape_of(Envelope)


def shape_for(document: Mapping[str, Any]) -> Shape:
    """What is expected of such a document."""
    return _ENVELOPE if document.get("event_name") else _FLAT


def decode(body: bytes, event_id: str, zone: tzinfo) -> Event:
    """Decode a callback; raises `DecodeError` if it cannot be placed, and the errors of msgspec.

    A cheap check chooses the dialect. If the body has no event name in that dialect, it is decoded in the other.
    """
    if b'"event_name"' in body and (envelope := _decode_envelope(body)).event_name:
        return _from_envelope(envelope, envelope.event_name, body, event_id, zone)
    if (flat := _decode_flat(body)).event:
        return _from_flat(flat, flat.event, body, event_id, zone)
    if (envelope := _decode_envelope(body)).event_name:  # its key contains escapes
        return _from_envelope(envelope, envelope.event_name, body, event_id, zone)
    raise DecodeError(Reason.NO_EVENT, "$.event or $.event_name: expected the name of the event, found none")


def _from_flat(callback: Flat, name: str, body: bytes, event_id: str, zone: tzinfo) -> Event:
    order = callback.order or _NO_ORDER
    received = received_at(event_id)
    kind = KINDS.get(name, Kind.UNRECOGNISED)
    return Event(
        event_id=event_id,
        identity=identity_of_content(Provider.INSTACART, body),
        provider=_NAME,
        name=key(name, "$.event"),
        kind=kind,
        order_ids=(_order_id(callback.order_id, "$.order_id", order.id, "$.order.id"),),
        occurred_at=_time_of_event(callback.timestamp, "$.timestamp", zone, received),
        received_at=received,
        status=_STATUS.get(kind) or text_or_none(callback.status),
        fulfillment_type=text_or_none(order.fulfillment_type),
        promised_at=_time(order.estimated_delivery_at, zone),
        lines=lines_of(callback.items, "$.items") if callback.items else (),
    )


def _from_envelope(callback: Envelope, name: str, body: bytes, event_id: str, zone: tzinfo) -> Event:
    metadata = callback.event_metadata or _NO_METADATA
    received = received_at(event_id)
    kind = KINDS.get(name, Kind.UNRECOGNISED)
    theirs = _event_id(callback.event_id)
    window, new_window = _window(metadata.delivery_window, zone), _window(metadata.new_window, zone)
    return Event(
        event_id=event_id,
        identity=_identity(theirs, callback.event_timestamp, body),
        provider=_NAME,
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
        lines=lines_of(metadata.order_items, "$.event_metadata.order_items") if metadata.order_items else (),
    )


def _event_id(sent: str | int | None) -> str | None:
    """The event id as text, whether it was quoted or not: as a number it is above 2^53."""
    return None if sent is None or sent == "" else key(str(sent), "$.event_id")


def _identity(theirs: str | None, timestamp: str | None, body: bytes) -> str:
    """The identity: `event_id` with `event_timestamp`, or the content if one is missing."""
    if theirs and timestamp:
        return identity_of(Provider.INSTACART, theirs, timestamp)
    return identity_of_content(Provider.INSTACART, body)


def _order_id(first: str | None, first_path: str, second: str | None, second_path: str) -> str:
    if first:
        return key(first, first_path)
    if second:
        return key(second, second_path)
    raise DecodeError(Reason.NO_ORDER, f"{first_path} or {second_path}: expected the order's id, found none")


def _time_of_event(text: str | None, path: str, zone: tzinfo, received: datetime) -> datetime:
    """The event's own time, or the time of receipt if it has none. Raises `DecodeError` for a time that cannot be parsed."""
    if not text:
        return received
    time = read_time(text, zone)
    if time is None:
        raise DecodeError(Reason.WRONG_TYPE, f"{path}: expected a date and time (RFC 3339), got other text")
    return time


def _time(value: Any, zone: tzinfo) -> datetime | None:
    return read_time(value, zone) if isinstance(value, str) else None


def _window(value: Any, zone: tzinfo) -> Window | None:
    if not isinstance(value, dict):
        return None
    starts_at, ends_at = value.get("starts_at"), value.get("ends_at")
    return _read_window(starts_at if isinstance(starts_at, str) else None, ends_at if isinstance(ends_at, str) else None, zone)


@lru_cache(4096)
def _read_window(starts_at: str | None, ends_at: str | None, zone: tzinfo) -> Window | None:
    """Parse the times of a window. Cached: a store has a few windows a day, and most callbacks of its orders repeat them."""
    window = Window(_time(starts_at, zone), _time(ends_at, zone))
    return window if window.starts_at or window.ends_at else None


def _promise(window: Window | None) -> datetime | None:
    return (window.ends_at or window.starts_at) if window else None
