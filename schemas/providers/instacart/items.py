"""The wire model of a line: an element of `items` (flat) or of `event_metadata.order_items` (envelope)."""

from decimal import Decimal
from typing import Any

from msgspec import Struct

from schemas.parsing.lenient import Lenient


class Replacement(Struct, gc=False):
    """What a shopper took instead. Published."""

    product_id: Lenient[str] = None
    name: Lenient[str] = None
    quantity: Lenient[Decimal] = None


class Item(Struct, gc=False):
    """A line of `items` (flat) or of `event_metadata.order_items` (envelope); all optional in both.

    Published for flat: `product_id`, `name`, `quantity`, `status`, `refunded`, `replacement`. In the envelope: `line_num` (the retailer's), `qty`
    (may be fractional), `qty_unit`, `replaced`, `refunded` and the codes; `item_upc` may be empty.
    """

    product_id: Lenient[str] = None
    line_num: Lenient[str | int] = None
    name: Lenient[str] = None
    quantity: Lenient[Decimal] = None
    qty: Lenient[Decimal] = None
    qty_unit: Lenient[str] = None
    status: Lenient[str] = None
    refunded: Lenient[bool] = None
    replaced: Lenient[bool | dict[str, Any]] = None
    replacement: Lenient[Replacement] = None
    item_upc: Lenient[str | int] = None
    item_rrc: Lenient[str | int] = None
    scan_code: Lenient[str | int] = None
    requested_item_upc: Lenient[str | int] = None
    requested_item_rrc: Lenient[str | int] = None
    delivered_item_upc: Lenient[str | int] = None
    delivered_item_rrc: Lenient[str | int] = None
