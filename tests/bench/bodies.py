"""Bodies as the providers send them: both Instacart dialects and Afosto, of realistic size, 5 % sent twice. Seeded."""

import random
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from schemas.events import Provider

DUPLICATES = 0.05
EVENTS_PER_ORDER = 8
_START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
_LIFE = ("order_created", "acknowledged", "picking", "staging", "delivering", "delivered")
_TROUBLE = ("order_item_replacement", "order_item_refund", "late_delivery", "customer_mia", "rescheduled", "canceled")
_GOODS = ("Organic bananas", "Oat milk 1 l", "Sourdough bread", "Cherry tomatoes 250 g", "Ground coffee 500 g")


class Posted(NamedTuple):
    """What a provider posts."""

    provider: str
    body: bytes


def envelopes(count: int, seed: int = 1) -> list[Posted]:
    """Instacart callbacks in the envelope dialect, about 700 bytes each."""
    return _stream(count, seed, ((_any_envelope, 1.0),))


def refunding(count: int, seed: int = 1) -> list[Posted]:
    """Envelopes of orders' lives and of refunds, which only the timeline and the refunds want."""
    return _stream(
        count, seed, ((lambda rng, number: _envelope(rng, number, _name(rng, number, ("order_item_refund",))), 1.0),)
    )


def missing_customers(count: int, seed: int = 1) -> list[Posted]:
    """Envelopes that each report the missing customer of another order, none of which is in `refunding`."""
    rng = random.Random(seed)  # noqa: S311 - the same bodies in every run
    return [_envelope(rng, (10**6 + number) * 1000 * EVENTS_PER_ORDER, "customer_mia") for number in range(count)]


def of_orders(count: int, orders: int, seed: int = 1) -> list[Posted]:
    """Envelopes, each once, of orders whose ids are the first numbers."""
    rng = random.Random(seed)  # noqa: S311 - the same bodies in every run
    return [
        _envelope(rng, number, _LIFE[number % len(_LIFE)], order=f"{rng.randrange(orders):032x}") for number in range(count)
    ]


SIZES = ("300 B", "700 B", "6 kB", "60 kB")


def sized(size: str, count: int, seed: int = 1) -> list[Posted]:
    """Bodies of about this size: what grows is the list of items."""
    rng = random.Random(seed)  # noqa: S311 - the same bodies in every run
    if size == "300 B":
        return [_flat(rng, number, lines=0) for number in range(count)]
    lines = {"700 B": 2, "6 kB": 41, "60 kB": 435}[size]
    return [_envelope(rng, number, _name(rng, number), lines) for number in range(count)]


def flat(count: int, seed: int = 1) -> list[Posted]:
    """Instacart callbacks in the flat dialect."""
    return _stream(count, seed, ((_flat, 1.0),))


def afosto(count: int, seed: int = 1) -> list[Posted]:
    """Afosto webhooks."""
    return _stream(count, seed, ((_afosto, 1.0),))


def mixed(count: int, seed: int = 1) -> list[Posted]:
    """Half envelope, three tenths flat, two tenths Afosto."""
    return _stream(count, seed, ((_any_envelope, 0.5), (_flat, 0.3), (_afosto, 0.2)))


_Maker = Callable[[random.Random, int], Posted]


def _stream(count: int, seed: int, makers: tuple[tuple[_Maker, float], ...]) -> list[Posted]:
    rng = random.Random(seed)  # noqa: S311 - the same bodies in every run
    kinds, weights = zip(*makers, strict=True)
    posted: list[Posted] = []
    for number in range(count):
        if posted and rng.random() < DUPLICATES:
            posted.append(posted[rng.randrange(max(0, len(posted) - 500), len(posted))])  # a retry comes soon
        else:
            posted.append(rng.choices(kinds, weights)[0](rng, number))
    return posted


def _when(number: int) -> datetime:
    return _START + timedelta(milliseconds=number * 40)


def _name(rng: random.Random, number: int, trouble: Sequence[str] = _TROUBLE) -> str:
    return rng.choice(trouble) if rng.random() < 0.15 else _LIFE[number % len(_LIFE)]


def _order_of(rng: random.Random, number: int) -> str:
    """An order of some thousand that are open at the moment."""
    return str(uuid.UUID(int=(number // (1000 * EVENTS_PER_ORDER)) * 1000 + rng.randrange(1000) + (7 << 96), version=4))


def _any_envelope(rng: random.Random, number: int) -> Posted:
    return _envelope(rng, number, _name(rng, number))


def _envelope(rng: random.Random, number: int, name: str, lines: int = 2, order: str = "") -> Posted:
    at, order = _when(number), order or _order_of(rng, number)
    metadata: dict[str, Any] = {
        "order_id": order,
        "retailer_id": "279",
        "user_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "fulfillment_type": "delivery",
        "store_location": f"{rng.randrange(1, 900):04d}",
        "delivery_window": {"starts_at": f"{at:%Y-%m-%d} 12:00:00", "ends_at": f"{at:%Y-%m-%d} 13:00:00"},
        "order_url": f"https://connect.example/o/{rng.getrandbits(48):012x}",
    }
    if name == "rescheduled":
        metadata["new_window"] = {"starts_at": f"{at:%Y-%m-%d} 15:00:00", "ends_at": f"{at:%Y-%m-%d} 16:00:00"}
    metadata["order_items"] = [_envelope_item(order, line, name) for line in range(1, lines + 1)]
    body = {
        "event_id": 1_201_895_966_044_343_904 + number,
        "event_name": f"fulfillment.{name}",
        "event_timestamp": at.isoformat().replace("+00:00", "Z"),
        "event_metadata": metadata,
    }
    return Posted(Provider.INSTACART, orjson.dumps(body))


def _product(order: str, line: int) -> int:
    """A number for the product of a line, the same in all bodies of the order."""
    return crc32(f"{order} {line}".encode())


def _envelope_item(order: str, line: int, name: str) -> dict[str, Any]:
    product = _product(order, line)
    return {
        "line_num": str(line),
        "qty": (1.0, 2.0, 0.385)[product % 3],
        "qty_unit": "each",
        "replaced": name == "order_item_replacement" and line == 1,
        "refunded": name == "order_item_refund" and line == 1,
        "item_upc": f"{10**11 + product}",
        "item_rrc": f"{10**5 + product % (9 * 10**5)}",
    }


def _flat(rng: random.Random, number: int, lines: int = 3) -> Posted:
    name, at, order = _name(rng, number), _when(number), _order_of(rng, number)
    items = [
        {
            "product_id": f"{10**6 + (product := _product(order, line)) % (9 * 10**6)}",
            "name": _GOODS[product % len(_GOODS)],
            "quantity": 1 + product % 4,
            "status": "refunded" if name == "order_item_refund" and line == 0 else "found",
            "refunded": name == "order_item_refund" and line == 0,
            "replacement": {"product_id": "5512345", "name": "Another brand", "quantity": 1}
            if name == "order_item_replacement" and line == 0
            else None,
        }
        for line in range(lines)
    ]
    body = {
        "event": f"fulfillment.{name}",
        "order_id": order,
        "status": "brand_new" if name == "order_created" else name,
        "timestamp": at.isoformat(),
        "order": {
            "id": order,
            "user_id": f"{rng.getrandbits(64):016x}",
            "fulfillment_type": "delivery",
            "created_at": (at - timedelta(hours=1)).isoformat(),
            "estimated_delivery_at": (at + timedelta(hours=1)).isoformat(),
        },
        "items": items,
    }
    return Posted(Provider.INSTACART, orjson.dumps(body))


def _afosto(rng: random.Random, number: int) -> Posted:
    event = ("ORDER_OPENED", "ORDER_UPDATED", "ORDER_CLOSED", "IN_TRANSIT", "DELIVERED")[number % 5]
    order = {"id": f"ord_{_order_of(rng, number)}", "number": 1000 + number}
    goods = [
        {
            "sku": f"SKU-{rng.randrange(10**5)}",
            "gtin": f"{rng.randrange(10**12, 10**13)}",
            "label": rng.choice(_GOODS),
            "quantity": 2,
        }
        for _ in range(2)
    ]
    is_order = event.startswith("ORDER_")
    entity = order["id"] if is_order else f"dlv_{uuid.UUID(int=rng.getrandbits(128), version=4)}"
    data: dict[str, Any] = (
        {**order, "progress": "OPEN" if event != "ORDER_CLOSED" else "CLOSED", "items": goods}
        if is_order
        else {
            "id": entity,
            "expected_at": _when(number).isoformat(),
            "provider_option": {"name": "Courier", "carrier": "courier"},
            "parcels": [{"id": f"par_{number}", "status": event, "items": [{**each, "order": order} for each in goods]}],
        }
    )
    body = {
        "event": event,
        "entity_type": "order" if is_order else "delivery",
        "entity_id": entity,
        "message_id": f"msg_{uuid.UUID(int=rng.getrandbits(128), version=4)}",
        "triggered_at": int(_when(number).timestamp() * 1000),
        "data": data,
    }
    return Posted(Provider.AFOSTO, orjson.dumps(body))
