"""What goes wrong on the way: bodies that nobody can read, and posts of somebody who does not know the secret."""

import random
import re

import orjson

from deploy.simulator.provider_events import AFOSTO, Fact


def spoil(fact: Fact, rng: random.Random) -> bytes:
    """A body that cannot be placed: cut off, in no known encoding, of no order, or of a wrong type where the meaning depends on it."""
    match rng.randrange(4):
        case 0:
            return fact.body[: len(fact.body) // 2]
        case 1:
            return b"\xff\xfe" + fact.body
        case 2:
            return _without_order(fact)
        case _:
            return orjson.dumps({"event": 7, "entity_type": "order", "order_id": fact.order_ids[0]})


def forge(fact: Fact) -> tuple[bytes, tuple[str, ...]]:
    """A good body of orders that do not exist, and their ids: it must never come in."""
    body = fact.body
    ids = tuple(f"forged-{order_id}" for order_id in fact.order_ids)
    for real, forged in zip(fact.order_ids, ids, strict=True):
        body = body.replace(real.encode(), forged.encode())
    return body, ids


def stale_copy(fact: Fact, message_id: str) -> bytes:
    """An Afosto body with the same old snapshot under a new message id."""
    return re.sub(rb'"message_id":"[^"]*"', f'"message_id":"{message_id}"'.encode(), fact.body, count=1)


def _without_order(fact: Fact) -> bytes:
    content = orjson.loads(fact.body)
    for name in ("entity_id", "order_id", "order", "data", "event_metadata"):
        content.pop(name, None)
    if fact.provider == AFOSTO:
        content["message_id"] = f"{content['message_id']}-of-none"
    return orjson.dumps(content)
