"""Afosto webhooks as typed wire models and as `Event`s.

`data` is the whole entity as it was at that moment, and a retry carries the same old snapshot. Which of its fields are lists
is only known from two published examples, so what is inside `data` is read leniently: only the ids count.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any

import msgspec
from msgspec import Struct

from schemas.drift import Shape, shape_of
from schemas.events import Event, Kind, Provider, received_at
from schemas.failures import DecodeError, Reason
from schemas.identity import identity_of, identity_of_content
from schemas.messages import kinds_of
from schemas.parsing.texts import key, text_or_none
from schemas.parsing.times import read_epoch_ms, read_time
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

    event: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    message_id: str | None = None
    triggered_at: int | None = None
    data: Data | None = None


class OrderWebhook(Webhook, gc=False):
    """As documented for an order: ORDER_OPENED, ORDER_UPDATED, ORDER_CLOSED."""

    data: OrderData | None = None  # type: ignore[assignment]


class DeliveryWebhook(Webhook, gc=False):
    """As documented for a delivery: IN_TRANSIT, DELIVERED."""

    data: DeliveryData | None = None  # type: ignore[assignment]


_NO_DATA = Data()
_decode = msgspec.json.Decoder(Webhook, float_hook=float).decode


_ORDER, _DELIVERY = shape_of(OrderWebhook), shape_of(DeliveryWebhook)


def shape_for(document: Mapping[str, Any]) -> Shape:
    """What is expected of such a document."""
    return _DELIVERY if document.get("entity_type") == "delivery" else _ORDER


def decode(body: bytes, event_id: str, zone: tzinfo) -> Event:
    """Decode a webhook; raises `DecodeError` if it cannot be placed, and the errors of msgspec."""
    webhook = _decode(body)
    if not webhook.event:
        raise DecodeError(Reason.NO_EVENT, "$.event: expected the name of the event, found none")
    data = webhook.data or _NO_DATA
    kind = KINDS.get(webhook.event, Kind.UNRECOGNISED)
    received = received_at(event_id)
    return Event(
        event_id=event_id,
        identity=_identity(webhook.message_id, body),
        provider=_NAME,
        name=key(webhook.event, "$.event"),
        kind=kind,
        order_ids=_order_ids(webhook, data),
        occurred_at=_time_of_event(webhook.triggered_at, received),
        received_at=received,
        provider_event_id=key(webhook.message_id, "$.message_id") if webhook.message_id else None,
        status=_status(kind, webhook, data),
        number=str(data.number) if type(data.number) is int else text_or_none(data.number),
        promised_at=read_time(data.expected_at, zone) if isinstance(data.expected_at, str) else None,
    )


def _identity(message_id: str | None, body: bytes) -> str:
    return identity_of(Provider.AFOSTO, message_id) if message_id else identity_of_content(Provider.AFOSTO, body)


def _status(kind: Kind, webhook: Webhook, data: Data) -> str | None:
    """The status: an order's own progress; for a delivery, or an order without one, the status in the event's name."""
    progress = text_or_none(data.progress) if webhook.entity_type != "delivery" else None
    return progress.lower() if progress else _STATUS.get(kind)


def _order_ids(webhook: Webhook, data: Data) -> tuple[str, ...]:
    """The orders that a delivery names, in sequence and each once; else the delivery's own id."""
    if webhook.entity_type == "delivery":
        named = tuple(dict.fromkeys(key(name, "$.data.parcels[].items[].order.id") for name in _named_orders(data.parcels)))
        if named:
            return named
    if not webhook.entity_id:
        raise DecodeError(Reason.NO_ORDER, "$.entity_id: expected the id of the order or delivery, found none")
    return (key(webhook.entity_id, "$.entity_id"),)


def _named_orders(parcels: Any) -> Iterator[str]:
    for parcel in _objects(parcels):
        for item in _objects(parcel.get("items")):
            for order in _objects(item.get("order")):
                name = order.get("id")
                if isinstance(name, str) and name:
                    yield name


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects in a list, or the one object that stands in its place."""
    yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict))


def _time_of_event(triggered_at: int | None, received: datetime) -> datetime:
    if triggered_at is None:
        return received
    time = read_epoch_ms(triggered_at)
    if time is None:
        raise DecodeError(Reason.WRONG_TYPE, "$.triggered_at: expected milliseconds since 1970, got a number out of range")
    return time
