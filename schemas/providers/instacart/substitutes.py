"""What stands in for a line's product: `replacement` (flat), or the delivered item of a replaced line (envelope)."""

from typing import Any, NamedTuple

from schemas.events import Product
from schemas.parsing.texts import MAX_KEY_CHARS
from schemas.parsing.values import Problem, flag_of, id_of, json_type, object_of, quantity_of
from schemas.providers.instacart.items import Item

_UNKNOWN = "unknown"
"""The key of a substitute of which nothing is said."""
_DELIVERED = ("delivered_item_rrc", "delivered_item_upc", "item_rrc", "item_upc", "scan_code")
"""The codes of what was delivered, the strongest first."""


class Doubt(NamedTuple):
    """A member of a line that cannot be read: its name, what was expected and what was found, and its JSON type."""

    member: str
    problem: str
    found: str


def substitute_of(item: Item, *, is_replaced: bool) -> Product | Doubt | None:
    """The substitute; None if the line names none. `is_replaced`: whether the line's status says that there is one."""
    given = object_of(item.replacement)
    if isinstance(given, Problem):
        return Doubt("replacement", given, json_type(item.replacement))
    if given and (found := _given(given)) is not None:
        return found
    flag = is_replaced or _flag(item.replaced)
    if isinstance(flag, Problem):
        return Doubt("replaced", flag, json_type(item.replaced))
    return _delivered(item) if flag else None


def _flag(replaced: Any) -> "bool | Problem | None":
    """Whether a line is replaced: a boolean, or an object that says more."""
    if type(replaced) in (dict, list):
        given = object_of(replaced)
        return given if isinstance(given, Problem) else bool(given)
    return flag_of(replaced)


def _given(replacement: dict[str, Any]) -> Product | Doubt | None:
    sent, name = replacement.get("product_id"), replacement.get("name")
    product, quantity = id_of(sent), quantity_of(replacement.get("quantity"))
    name = name if type(name) is str and name else None
    if isinstance(quantity, Problem):
        return Doubt("replacement.quantity", quantity, json_type(replacement["quantity"]))
    if not product and not name and sent is not None and sent != "":
        return Doubt("replacement.product_id", f"expected string, got {json_type(sent)}", json_type(sent))
    if not product and not name and quantity is None:
        return None
    codes = (("product_id", product),) if product else ()
    return _product("replacement.product_id", product or (name or _UNKNOWN)[:MAX_KEY_CHARS], name, quantity, codes)


def _delivered(item: Item) -> Product | Doubt:
    quantity = quantity_of(item.qty)
    if isinstance(quantity, Problem):
        return Doubt("qty", quantity, json_type(item.qty))
    codes = tuple((kind, code) for kind in _DELIVERED if (code := id_of(getattr(item, kind))))
    kind, key = codes[0] if codes else ("replaced", _UNKNOWN)
    return _product(kind, key, None, quantity, codes)


def _product(member: str, key: str, name: str | None, quantity: Any, codes: tuple[tuple[str, str], ...]) -> Product | Doubt:
    if len(key) > MAX_KEY_CHARS:
        return Doubt(member, f"expected at most {MAX_KEY_CHARS} characters, got {len(key)}", "string")
    return Product(key, name, quantity, codes)
