"""The lifecycle of Afosto orders that ship together: opened, updated, shipped in one or two deliveries, delivered, closed.

Every body holds the whole entity as it was at that moment. No two events of a group have the same time, to the millisecond.
"""

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from deploy.simulator.flat import rfc3339
from deploy.simulator.provider_events import AFOSTO, ProviderEvent

_PRODUCTS = ("Black Hoodie M", "Grey Socks L", "Enamel mug", "Tote bag", "Recipe book")
_UPDATES = ("PICKING", "PACKED", None)
_ADDRESS = {"address_line_1": "Voorbeeldstraat 9", "postal_code": "0000 AA", "locality": "Voorbeeldstad", "country_code": "NL"}
_SECOND_DELIVERY, _NAMES_NO_ORDER = 0.3, 0.1


@dataclass(frozen=True, slots=True)
class _Order:
    id: str
    number: int
    items: tuple[dict[str, Any], ...]


class OrderGroup:
    """Generates the events of a group of orders. `new_id` makes ids unique to the run; `numbers` are the orders' numbers."""

    def __init__(self, rng: random.Random, start: datetime, numbers: Sequence[int], new_id: Callable[[], uuid.UUID]) -> None:
        self._rng, self._at, self._new_id = rng, start, new_id
        self._orders = [_Order(f"ord_{new_id()}", number, _items(rng)) for number in numbers]
        self._events: list[ProviderEvent] = []

    def generate(self) -> list[ProviderEvent]:
        """Return all events, in time order."""
        for order in self._orders:
            self._add_order_event("ORDER_OPENED", order, "OPEN")
        for order in self._orders:
            for progress in _UPDATES[: self._rng.randint(0, len(_UPDATES))]:
                self._add_order_event("ORDER_UPDATED", order, progress)
        for orders in self._deliveries():
            self._ship(orders)
        for order in self._orders:
            self._add_order_event("ORDER_CLOSED", order, "CLOSED")
        return self._events

    def _deliveries(self) -> list[list[_Order]]:
        """Return the orders of each delivery. A second one has its own carrier and the rest of the first order."""
        deliveries = [list(self._orders)]
        if self._rng.random() < _SECOND_DELIVERY:
            deliveries.append(self._orders[:1])
        return deliveries

    def _ship(self, orders: Sequence[_Order]) -> None:
        named = [] if self._rng.random() < _NAMES_NO_ORDER else orders
        delivery_id, carrier = f"dlv_{self._new_id()}", self._rng.choice(("PostNL", "DHL"))
        parcels = [{"id": f"prc_{self._new_id()}", "items": [_shipped(order, item) for item in order.items]} for order in named]
        expected_at = self._at.replace(microsecond=0) + timedelta(hours=self._rng.randint(4, 30))
        for event in ("IN_TRANSIT", "DELIVERED"):
            data = {
                "expected_at": rfc3339(expected_at),
                "method": {"name": carrier, "delivery_during": "day", "is_pickup_point": False},
                "provider_option": {"name": "Standard", "carrier": carrier, "description": ""},
                "from": {"address": _ADDRESS},
                "to": {"address": _ADDRESS},
                "parcels": [parcel | {"status": event} for parcel in parcels],
            }
            ids = tuple(order.id for order in named) or (delivery_id,)
            self._add(event, "delivery", delivery_id, data, order_ids=ids, status=event.lower(), expected_at=expected_at)

    def _add_order_event(self, event: str, order: _Order, progress: str | None) -> None:
        data = {"id": order.id, "number": order.number, "items": order.items}
        data |= {"progress": progress} if progress else {}
        status = progress and progress.lower()
        self._add(event, "order", order.id, data, order_ids=(order.id,), status=status, number=str(order.number))

    def _add(self, event: str, entity_type: str, entity_id: str, data: dict[str, Any], **stated: Any) -> None:
        message_id = f"msg_{self._new_id()}"
        content: dict[str, Any] = {"event": event, "entity_type": entity_type, "entity_id": entity_id, "message_id": message_id}
        content |= {"triggered_at": int(self._at.timestamp() * 1000), "data": data}
        at = self._at.replace(microsecond=self._at.microsecond // 1000 * 1000)
        body = orjson.dumps(content)
        ids: dict[str, Any] = {"provider_event_id": message_id, "identified_by": (message_id,)}
        self._events.append(ProviderEvent(AFOSTO, event.lower(), event, at=at, body=body, **ids, **stated))
        self._at += timedelta(milliseconds=self._rng.randint(60_000, 600_000))


def _items(rng: random.Random) -> tuple[dict[str, Any], ...]:
    names = rng.sample(_PRODUCTS, rng.randint(1, 3))
    return tuple(
        {
            "sku": f"SKU-{rng.randrange(10**5):05d}",
            "gtin": f"{rng.randrange(10**13):013d}",
            "label": name,
            "quantity": rng.randint(1, 4),
        }
        for name in names
    )


def _shipped(order: _Order, item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as a parcel lists it, with its order."""
    shown = {name: item[name] for name in ("sku", "gtin", "label")}
    customer = {"contact": {"given_name": "Test", "additional_name": "", "family_name": "Customer"}}
    return shown | {"meta_data": {}, "order": {"id": order.id, "number": order.number, "metadata": {}, "customer": customer}}
