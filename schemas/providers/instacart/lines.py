"""The lines of an Instacart order as item events list them: `items` (flat) and `event_metadata.order_items` (envelope).

Strict where the meaning depends on it (quantities, what was refunded or replaced), lenient elsewhere.
"""

from decimal import Decimal
from typing import Any

from msgspec import Struct

from schemas.events import Line, Product
from schemas.failures import DecodeError, Reason
from schemas.parsing.lenient import Lenient
from schemas.parsing.texts import MAX_KEY_CHARS, clean, key, text_or_none

MAX_QUANTITY_DIGITS = 60
"""The most characters that a quantity may take, and the largest and smallest power of ten it may have."""


class Replacement(Struct, gc=False):
    """What a shopper took instead. Published."""

    product_id: str | None = None
    name: Lenient[str] = None
    quantity: Decimal | None = None


class Item(Struct, gc=False):
    """A line of `items` (flat) or of `event_metadata.order_items` (envelope); all optional in both.

    Published for flat: `product_id`, `name`, `quantity`, `status`, `refunded`, `replacement`. In the envelope: `line_num` (the retailer's), `qty`
    (may be fractional), `qty_unit`, `replaced`, `refunded` and the codes; `item_upc` may be empty.
    """

    product_id: str | None = None
    line_num: str | int | None = None
    name: Lenient[str] = None
    quantity: Decimal | None = None
    qty: Decimal | None = None
    qty_unit: Lenient[str] = None
    status: str | None = None
    refunded: bool | None = None
    replaced: bool | dict[str, Any] | None = None
    replacement: Replacement | None = None
    item_upc: Lenient[str | int] = None
    item_rrc: Lenient[str | int] = None
    scan_code: Lenient[str | int] = None
    requested_item_upc: Lenient[str | int] = None
    requested_item_rrc: Lenient[str | int] = None
    delivered_item_upc: Lenient[str | int] = None
    delivered_item_rrc: Lenient[str | int] = None


def lines_of(items: list[Item], path: str) -> tuple[Line, ...]:
    """The lines, each under its own key; `path` is the list's place in the document. Raises `DecodeError`."""
    taken: dict[str, int] = {}
    lines = []
    for position, item in enumerate(items):
        try:
            lines.append(_line(item, position, taken))
        except DecodeError as error:
            raise DecodeError(error.reason, f"{path}[{position}]{error}") from None
    return tuple(lines)


def _line(item: Item, position: int, taken: dict[str, int]) -> Line:
    """One line. Its key is the retailer's line number, else the product that was ordered, else the place in the list."""
    product = _first_code(item.product_id, item.requested_item_rrc, item.requested_item_upc, item.item_rrc, item.item_upc)
    quantity = _exact(item.quantity, ".quantity") if item.quantity is not None else _exact(item.qty, ".qty")
    return Line(
        line=_free_key(key(_first_code(item.line_num) or product or f"[{position}]", " (the line's key)"), taken),
        name=text_or_none(item.name),
        product=product,
        quantity=quantity,
        unit=text_or_none(item.qty_unit),
        refunded=item.refunded is True or item.status == "refunded",
        substitute=_substitute(item),
    )


def _free_key(name: str, taken: dict[str, int]) -> str:
    """Number the second line of a name, and so on, until the key is no other line's."""
    free = name
    while free in taken:
        taken[name] += 1
        suffix = f"#{taken[name]}"
        free = name[: MAX_KEY_CHARS - len(suffix)] + suffix
    taken[free] = 1
    return free


def _substitute(item: Item) -> Product | None:
    """What stands in for the line's product: `replacement` (flat), or the delivered item of a replaced line (envelope)."""
    given = item.replacement
    if given is not None and (given.product_id or given.name or given.quantity is not None):
        name = text_or_none(given.name)
        product = key(given.product_id or (name or "unknown")[:MAX_KEY_CHARS], ".replacement.product_id")
        return Product(product, name, _exact(given.quantity, ".replacement.quantity"))
    if not item.replaced and item.status != "replaced":
        return None
    delivered = _first_code(item.delivered_item_rrc, item.delivered_item_upc, item.item_rrc, item.item_upc, item.scan_code)
    return Product(key(delivered or "unknown", " (the substitute)"), None, _exact(item.qty, ".qty"))


def _first_code(*values: Any) -> str | None:
    """The first code that is not empty. A number and a text with the same digits are the same code."""
    for value in values:
        if type(value) is int:
            return str(value)
        if value and isinstance(value, str):
            return clean(value)
    return None


def _exact(quantity: Decimal | None, path: str) -> Decimal | None:
    """Quantities are kept to the last digit; what no ledger could hold is refused."""
    if quantity is None or (
        quantity.is_finite() and abs(quantity.adjusted()) <= MAX_QUANTITY_DIGITS and len(str(quantity)) <= MAX_QUANTITY_DIGITS
    ):
        return quantity
    raise DecodeError(
        Reason.WRONG_TYPE, f"{path}: expected a quantity of at most {MAX_QUANTITY_DIGITS} digits, got another number"
    )
