"""Masks personal data in a body: only what is known to hold none is shown.

An allowlist: a field that a provider adds tomorrow is masked. A key counts at its place: the `number` of an order is shown,
that of a `phone_number` is not.
"""

import re
from decimal import Decimal
from typing import Any

import msgspec

from schemas.parsing.tolerant import CANNOT_READ, read_document

MASK = "***"
MAX_DEPTH = 40
"""Values nested deeper than any provider nests them are masked as a whole."""

_PLACES = frozenset(
    (
        "event_metadata", "order", "items", "order_items", "delivery_window", "new_window", "replacement", "replaced", "data",
        "parcels", "details", "inventory", "provider_option", "method",
    )
)  # fmt: skip
"""Objects, and lists of objects, whose keys may be shown. In any other, such as a customer or an address, nothing is shown."""
_SHOWN = frozenset(
    (
        "event", "event_name", "event_id", "event_timestamp", "timestamp", "triggered_at", "message_id", "entity_type", "entity_id",
        "order_id", "id", "number", "status", "progress", "fulfillment_type", "created_at", "estimated_delivery_at", "expected_at",
        "starts_at", "ends_at", "product_id", "quantity", "qty", "qty_unit", "refunded", "replaced", "line_num", "item_upc", "item_rrc",
        "scan_code", "requested_item_upc", "requested_item_rrc", "delivered_item_upc", "delivered_item_rrc", "sku", "gtin", "position",
        "is_deducted", "is_pickup_point", "is_id_check", "is_neighbour_allowed", "store_location", "retailer_id", "carrier",
    )
)  # fmt: skip
"""Keys whose values are shown. `name`, `label` and the like are not among them: they may hold a person's name."""
_WORD = re.compile(r"[\w.:/#+-]{1,255}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d[\d:.+ -]{0,20}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
"""A key of this form is a field name. Any other key may be data, such as an address."""


_write = msgspec.json.Encoder(decimal_format="number").encode


def masked(body: bytes) -> str:
    """A body as indented, masked JSON; only its size if it is no JSON."""
    try:
        document = read_document(body)
    except CANNOT_READ:
        return f"{len(body)} bytes that are no JSON"
    return msgspec.json.format(_write(_masked(document, "", True, 0)), indent=2).decode()


def _masked(value: Any, key: str, here: bool, depth: int) -> Any:
    """`here`: whether keys at this place may be shown."""
    if value is None:
        return None
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        return MASK
    if isinstance(value, dict):
        here = here and (key in _PLACES or depth == 0)
        return dict(_members(value, here, depth))
    if isinstance(value, list):
        return [_masked(each, key, here, depth + 1) for each in value]
    return value if here and key in _SHOWN and _is_plain(value) else MASK


def _members(value: dict[str, Any], here: bool, depth: int) -> list[tuple[str, Any]]:
    """The members of an object. Keys that are not field names are masked, and numbered so that none is lost."""
    return [
        (name if _NAME.fullmatch(name) else f"{MASK}{number}", _masked(each, name, here, depth + 1))
        for number, (name, each) in enumerate(value.items(), 1)
    ]


def _is_plain(value: Any) -> bool:
    """Whether a value is a number, a code or a time, and not a sentence or an address."""
    if isinstance(value, Decimal):
        return value.is_finite()
    return not isinstance(value, str) or bool(_WORD.fullmatch(value) or _TIME.fullmatch(value))
