"""Afosto webhooks as typed wire models and as `Event`s.

`data` is the whole entity as it was at that moment, and a retry carries the same old snapshot. Which of its fields are lists
is only known from two published examples, so what is inside `data` is read leniently: only the ids count. An event needs its name
and an id of its entity; each other part is read for itself.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr

from schemas.drift import Shape, shape_of
from schemas.events import Event, Kind, Provider, Unreadable, bounded, received_at
from schemas.failures import DecodeError, Reason
from schemas.identity import identity_of, identity_of_content
from schemas.messages import kinds_of
from schemas.parsing.lenient import Lenient, Straight
from schemas.parsing.structure import straightened
from schemas.parsing.texts import MAX_KEY_CHARS, event_key, key, text_or_none, unusual_name
from schemas.parsing.times import read_any_time, read_epoch_ms, time_of_event
from schemas.parsing.tolerant import mended, object_in
from schemas.parsing.values import decimal_of, id_of, json_type, list_of
from schemas.providers.afosto.deliveries import DeliveryData
from schemas.providers.afosto.orders import OrderData

_NAME = Provider.AFOSTO.value
KINDS = kinds_of(Provider.AFOSTO)
_STATUS = {
    Kind.ORDER_OPENED: "opened",
    Kind.ORDER_CLOSED: "closed",
    Kind.IN_TRANSIT: "in_transit",
    Kind.DELIVERED: "delivered",
}


class Data(Struct, gc=False):
    """The fields of `data` that an event depends on, in an order or a delivery."""

    number: Any = None
    progress: Any = None
    parcels: Any = None
    expected_at: Any = None


class Webhook(Struct, gc=False):
    """A body, whatever its entity. `message_id` is for idempotency; `triggered_at` is in milliseconds since the epoch."""

    event: Lenient[str] = None
    entity_type: Lenient[str] = None
    entity_id: Lenient[str] = None
    message_id: Lenient[str] = None
    triggered_at: Lenient[int] = None
    data: Straight[Data] = None


class OrderWebhook(Webhook, gc=False):
    """As documented for an order: ORDER_OPENED, ORDER_UPDATED, ORDER_CLOSED."""

    data: Straight[OrderData] = None  # type: ignore[assignment]


class DeliveryWebhook(Webhook, gc=False):
    """As documented for a delivery: IN_TRANSIT, DELIVERED."""

    data: Straight[DeliveryData] = None  # type: ignore[assignment]


_NO_DATA = Data()
_FROM_2000_MS = 946_684_800_000
_DELIVERIES = frozenset({Kind.IN_TRANSIT, Kind.DELIVERED})
_decode = msgspec.json.Decoder(Webhook, float_hook=decimal_of).decode


_ORDER, _DELIVERY = shape_of(OrderWebhook), shape_of(DeliveryWebhook)


def shape_for(document: Mapping[str, Any]) -> Shape:
    """What is expected of such a document."""
    name, data = document.get("event"), document.get("data")
    parcels = data.get("parcels") if isinstance(data, dict) else None
    return _DELIVERY if _is_delivery(document.get("entity_type"), name if isinstance(name, str) else "", parcels) else _ORDER


def decode(body: bytes, event_id: str, zone: tzinfo) -> Event:
    """Decode a webhook; raises `DecodeError` if it cannot be placed, and the errors of msgspec."""
    try:
        webhook = _decode(body)
    except msgspec.ValidationError as error:
        return decode_document(object_in(body, error), mended(body), event_id, zone)
    return _from(webhook, body, event_id, zone, [])


def decode_document(document: dict[str, Any], body: bytes, event_id: str, zone: tzinfo) -> Event:
    """Decode a webhook of another structure than documented. It gives the same event for one that is as documented."""
    odd: list[Unreadable] = []
    webhook = straightened(document, Webhook, odd)
    event = _from(webhook, body, event_id, zone, [msgspec.structs.replace(part, effects=()) for part in odd])
    force_setattr(event, "mended", True)
    return event


def _from(webhook: Webhook, body: bytes, event_id: str, zone: tzinfo, odd: list[Unreadable]) -> Event:
    if not webhook.event:
        raise DecodeError(Reason.NO_EVENT, "$.event: expected the name of the event, found none")
    data = webhook.data or _NO_DATA
    name, theirs, type_ = webhook.event, webhook.message_id, webhook.entity_type
    kind = KINDS.get(name) if type(name) is str else None
    if kind is None:
        name, kind = unusual_name(name, "$.event", KINDS)
    received = received_at(event_id)
    is_delivery = type_ == "delivery" or (type_ != "order" and _is_delivery(type_, name, data.parcels))
    if type(theirs) is not str or not 0 < len(theirs) <= MAX_KEY_CHARS:
        theirs = event_key(theirs, "$.message_id", odd)
    occurred_at = _time_of_event(webhook.triggered_at, zone, odd)
    at = occurred_at or received
    return Event(
        event_id=event_id,
        identity=identity_of(Provider.AFOSTO, theirs) if theirs else identity_of_content(Provider.AFOSTO, body),
        provider=_NAME,
        name=name,
        kind=kind,
        order_ids=_order_ids(webhook, data, is_delivery, odd),
        occurred_at=at,
        received_at=received,
        provider_event_id=theirs,
        status=_status(kind, data, is_delivery),
        number=str(data.number) if type(data.number) is int else text_or_none(data.number),
        promised_at=None if data.expected_at is None else read_any_time(data.expected_at, zone),
        unreadable=tuple(odd) if odd else (),
        has_time=occurred_at is not None,
        ordered_at=at if at <= received else bounded(at, received),
    )


def _is_delivery(entity_type: Any, name: str, parcels: Any) -> bool:
    """Whether the entity is a delivery: by its type in any case, else by the event's name, else by its parcels."""
    type_ = entity_type.strip().lower() if isinstance(entity_type, str) else ""
    if type_ in ("order", "delivery"):
        return type_ == "delivery"
    name = name.strip().upper()
    return KINDS.get(name) in _DELIVERIES or (bool(parcels) and not name.startswith("ORDER"))


def _status(kind: Kind, data: Data, is_delivery: bool) -> str | None:
    """The status: an order's own progress; for a delivery, or an order without one, the status in the event's name."""
    progress = None if is_delivery else text_or_none(data.progress)
    return progress.lower() if progress else _STATUS.get(kind)


def _order_ids(webhook: Webhook, data: Data, is_delivery: bool, odd: list[Unreadable]) -> tuple[str, ...]:
    """The orders that a delivery names, in sequence and each once; else the delivery's own id."""
    if is_delivery:
        named = dict.fromkeys(_named_orders(data.parcels))
        short = tuple(name for name in named if len(name) <= MAX_KEY_CHARS)
        if len(short) < len(named):
            problem = f"expected at most {MAX_KEY_CHARS} characters, got another number"
            odd.append(Unreadable("$.data.parcels[].items[].order.id", problem, "string"))
        if short:
            return short
    entity_id = webhook.entity_id
    if entity_id := entity_id if type(entity_id) is str else id_of(entity_id):
        return (key(entity_id, "$.entity_id"),)
    if webhook.entity_id is None or webhook.entity_id == "":
        raise DecodeError(Reason.NO_ORDER, "$.entity_id: expected the id of the order or delivery, found none")
    raise DecodeError(Reason.WRONG_TYPE, f"$.entity_id: expected string, got {json_type(webhook.entity_id)}")


def _named_orders(parcels: Any) -> Iterator[str]:
    for parcel in _objects(parcels):
        for item in _objects(parcel.get("items")):
            for order in _objects(item.get("order")):
                name = order.get("id")
                if name := name if type(name) is str else id_of(name):
                    yield name


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects in a list, however it is written."""
    found = value if type(value) is list else list_of(value)
    if type(found) is list:
        yield from (each for each in found if type(each) is dict)


def _time_of_event(triggered_at: Any, zone: tzinfo, odd: list[Unreadable]) -> datetime | None:
    """The time, in milliseconds as documented if that is a time which somebody can mean."""
    if type(triggered_at) is int and triggered_at >= _FROM_2000_MS:
        time = read_epoch_ms(triggered_at)
        if time is not None:
            return time
    return time_of_event(triggered_at, "$.triggered_at", zone, odd)
