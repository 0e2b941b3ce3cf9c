"""Parts of a body that are of another type than documented, though their meaning is plain; and lines that cannot be read.

Works on the document before it is encoded. The caller seeds the RNG.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from deploy.simulator.provider_events import Line

HALF_A_PAIR, _PLACEHOLDER = rb"\ud83d", "@half-a-surrogate-pair@"
_SHARE = 0.4
_HANDLERS = {"order_item_refund": "refunds", "order_item_replacement": "replacements"}

Item = dict[str, Any]


class OddList(NamedTuple):
    """An item list as sent, the lines that can be read of it, and the handlers for which one cannot."""

    items: Any
    lines: tuple[Line, ...]
    fails_in: frozenset[str] = frozenset()


def odd_list(kind: str, items: list[Item], lines: tuple[Line, ...], rng: random.Random) -> OddList:
    """Make the list of an item event odd: its values, one of its lines, or the list itself."""
    unread: frozenset[int] = frozenset()
    if rng.random() < _SHARE:
        unread = _spoil_a_line(kind, items, lines, rng)
    for item in items:
        if rng.random() < _SHARE:
            rng.choice(_REWRITTEN)(item)
    readable = tuple(line for line in lines if line.number not in unread)
    return OddList(_as_php(items, rng), readable, frozenset({_HANDLERS[kind]}) if unread else frozenset())


def with_note(content: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Add an unknown field that ends in half a surrogate pair (`encoded` writes it)."""
    return content | ({"note": f"ring twice {_PLACEHOLDER}"} if rng.random() < _SHARE else {})


def encoded(body: bytes) -> bytes:
    """Return the encoded document with its half surrogate pairs, which no encoder writes."""
    return body.replace(_PLACEHOLDER.encode(), HALF_A_PAIR)


def junk_items(rng: random.Random) -> Any:
    """Return a list of lines that no handler of the event reads."""
    return rng.choice(([{"line_num": "1", "qty": ""}], {}, [None], ["x"], {"1": {"qty": "1 lb"}}, [{"refunded": "maybe"}]))


def _spoil_a_line(kind: str, items: list[Item], lines: Sequence[Line], rng: random.Random) -> frozenset[int]:
    """Make the quantity of a line with the event's effect unreadable; the line's number. Not of one that has a twin."""
    products = [line.product for line in lines]
    for item, line in rng.sample(list(zip(items, lines, strict=True)), len(lines)):
        has_effect = line.refunded if _HANDLERS[kind] == "refunds" else line.substitute is not None
        if has_effect and products.count(line.product) == 1:
            item["quantity" if "quantity" in item else "qty"] = "2 lb"
            return frozenset({line.number})
    return frozenset()


def _quantity_as_text(item: Item) -> None:
    for name in {"quantity", "qty"} & item.keys():
        item[name] = str(item[name])


def _flags_as_text(item: Item) -> None:
    for name in {"refunded", "replaced"} & item.keys():
        item[name] = "true" if item[name] else "false"


def _flags_as_numbers(item: Item) -> None:
    for name in {"refunded", "replaced"} & item.keys():
        item[name] = int(item[name])


def _status_in_capitals(item: Item) -> None:
    if "status" in item:
        item["status"] = f" {item['status'].upper()} "


def _ids_as_numbers(item: Item) -> None:
    for name in {"product_id", "line_num"} & item.keys():
        if not item[name].startswith("0"):
            item[name] = int(item[name])


_REWRITTEN: Sequence[Callable[[Item], None]] = (
    _quantity_as_text, _flags_as_text, _flags_as_numbers, _status_in_capitals, _ids_as_numbers,
)  # fmt: skip


def _as_php(items: list[Item], rng: random.Random) -> Any:
    """Sometimes return the list as PHP writes it: an object with numbered keys; or a single line instead of its list."""
    if rng.random() >= _SHARE:
        return items
    if len(items) == 1 and rng.random() < 0.5:
        return items[0]
    first = rng.choice((0, 1))
    return {str(place): item for place, item in enumerate(items, first)}
