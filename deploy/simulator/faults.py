"""Faults: undecodable bodies, bodies of senders without the secret, and old snapshots."""

import json
import random
import re

import orjson

from deploy.simulator.provider_events import AFOSTO, ProviderEvent


def spoil(event: ProviderEvent, rng: random.Random) -> bytes:
    """Return an undecodable body: cut off, in an unknown encoding, without an order, or with a wrong type in a strict field."""
    match rng.randrange(4):
        case 0:
            return event.body[: len(event.body) // 2]
        case 1:
            return b"\xff\xfe" + event.body
        case 2:
            return _without_order(event)
        case _:
            return orjson.dumps({"event": 7, "entity_type": "order", "order_id": event.order_ids[0]})


def forge(event: ProviderEvent) -> tuple[bytes, tuple[str, ...]]:
    """Return a valid body about orders that do not exist, and their ids. It must never be accepted."""
    body = event.body
    ids = tuple(f"forged-{order_id}" for order_id in event.order_ids)
    for real, forged in zip(event.order_ids, ids, strict=True):
        body = body.replace(real.encode(), forged.encode())
    return body, ids


def stale_copy(event: ProviderEvent, message_id: str) -> bytes:
    """Return an Afosto body with the same snapshot under a new message id."""
    return re.sub(rb'"message_id":"[^"]*"', f'"message_id":"{message_id}"'.encode(), event.body, count=1)


def _without_order(event: ProviderEvent) -> bytes:
    content = json.loads(event.body)  # orjson reads no half of a surrogate pair
    for name in ("entity_id", "order_id", "order", "data", "event_metadata"):
        content.pop(name, None)
    if event.provider == AFOSTO:
        content["message_id"] = f"{content['message_id']}-of-none"
    return json.dumps(content).encode()
