"""Says, without the decoders, which bodies name an order and a known kind of event. Those must be decoded, whatever else they hold.

It reads a body with Python's own parser, and looks only where the providers put the event's name and the order's id.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from schemas.events import Kind, Provider
from schemas.messages import kinds_of
from schemas.parsing.texts import MAX_KEY_CHARS

_KINDS = {provider: kinds_of(provider) for provider in Provider}


class Placed(NamedTuple):
    """What a body is about: each kind that it names, and each order."""

    kinds: frozenset[Kind]
    order_ids: frozenset[str]


def placed(provider: str, body: bytes) -> Placed | None:
    """The kinds and orders that a body names; None if this simple reading finds no kind that is known, or no order."""
    try:
        document = json.loads(body.decode("utf-8", "replace"), strict=False, parse_int=str)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or provider not in _KINDS:
        return None
    names, ids = (_instacart if provider == Provider.INSTACART else _afosto)(document)
    known = _KINDS[Provider(provider)]
    if not names or any(name not in known for name in names) or not ids:
        return None
    return Placed(frozenset(known[name] for name in names), frozenset(ids))


def _instacart(document: dict[str, Any]) -> tuple[list[str], list[str]]:
    names = list(_texts(document.get("event"), document.get("event_name")))
    inside = document.get("event_metadata" if document.get("event_name") else "order")
    nested = inside.get("order_id" if document.get("event_name") else "id") if isinstance(inside, dict) else None
    return names, list(_keys(document.get("order_id"), nested))


def _afosto(document: dict[str, Any]) -> tuple[list[str], list[str]]:
    return list(_texts(document.get("event"))), list(_keys(document.get("entity_id")))


def _texts(*values: Any) -> Iterator[str]:
    """The values that are there; another type than text stands for a name that is not known."""
    yield from (value if isinstance(value, str) else "" for value in values if value not in (None, "", [], {}, False))


def _keys(*values: Any) -> Iterator[str]:
    """The values that can be an id. Numbers are texts here: `json` was told so."""
    yield from (value for value in values if isinstance(value, str) and 0 < len(value) <= MAX_KEY_CHARS)
