"""Showing a body without personal data: what is known to be harmless is shown, every other text and number is masked.

By what may be shown and not by what may not: a field that a provider adds tomorrow is masked.
"""

from typing import Any

import msgspec

MASK = "***"

_SHOWN = frozenset(
    (
        "event", "event_name", "event_id", "event_timestamp", "timestamp", "triggered_at", "message_id", "entity_type", "entity_id",
        "order_id", "id", "number", "status", "progress", "fulfillment_type", "created_at", "estimated_delivery_at", "expected_at",
        "starts_at", "ends_at", "cancellation_reason", "product_id", "quantity", "qty", "qty_unit", "refunded", "replaced",
        "line_num", "item_upc", "item_rrc", "scan_code", "requested_item_upc", "requested_item_rrc", "delivered_item_upc",
        "delivered_item_rrc", "sku", "gtin", "position", "is_deducted", "is_pickup_point", "is_id_check", "is_neighbour_allowed",
        "store_location", "retailer_id", "carrier",
    )
)  # fmt: skip
"""Keys whose values are shown. `name`, `label` and the like are not: a person's name may stand there."""


def masked(body: bytes) -> str:
    """A body as indented JSON, masked; of what is no JSON only its size."""
    try:
        document = msgspec.json.decode(body)
        return msgspec.json.format(msgspec.json.encode(_masked(document, "")), indent=2).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return f"{len(body)} bytes that are no JSON"


def _masked(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _masked(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, key) for each in value]
    return value if key in _SHOWN or value is None or isinstance(value, bool) else MASK
