"""The lines of an Instacart order as item events list them: `items` (flat) and `event_metadata.order_items` (envelope).

Each line is read for itself. What a line states of an effect and cannot be read is unknown for this line alone: it becomes an
`Unreadable`, and all other lines are as they are.
"""

from collections.abc import Sequence
from decimal import Decimal

from msgspec.structs import replace

from schemas.events import Effect, Line, Unreadable
from schemas.parsing.texts import MAX_KEY_CHARS
from schemas.parsing.values import Problem, flag_of, id_of, json_type, quantity_of
from schemas.providers.instacart.items import Item
from schemas.providers.instacart.line_keys import numbered
from schemas.providers.instacart.substitutes import Doubt, substitute_of

_EFFECT_CHARS = len("refunded")


def lines_of(items: Sequence[Item | None], path: str, odd: list[Unreadable]) -> tuple[Line, ...]:
    """The lines, each under its own key; `path` is the list's place in the document. Adds to `odd` what cannot be read.

    None stands for an entry that is no line.
    """
    lines: list[Line] = []
    places: list[int] = []
    before = len(odd)
    for place, item in enumerate(items):
        if item is not None and (line := _line(item, path, place, odd)) is not None:
            lines.append(line)
            places.append(place)
    if len(lines) < 2 or len({line.line for line in lines}) == len(lines):
        return tuple(lines)
    lines = numbered(lines)
    if len(odd) > before:
        keys = {f"{path}[{place}": line.line for place, line in zip(places, lines, strict=True)}
        odd[before:] = [replace(part, line=keys.get(part.path.rpartition("]")[0])) for part in odd[before:]]
    return tuple(lines)


def _line(item: Item, path: str, place: int, odd: list[Unreadable]) -> Line | None:
    """One line. Its key is the retailer's line number, else the product that was ordered, else its name, else its place.

    Its speed counts: a line as documented costs no call but those of `_codes` and of its constructor.
    """
    number, name, unit, status, refunded, quantity = (
        item.line_num, item.name, item.qty_unit, item.status, item.refunded, item.quantity
    )  # fmt: skip
    if type(number) is not str:
        number = None if number is None else id_of(number)
    codes = _codes(item)
    product = codes[0][1] if codes else None
    name = name if type(name) is str and name else None
    key = number or product or (name[:MAX_KEY_CHARS] if name else f"[{place}]")
    if quantity is None:
        quantity = item.qty
    if type(quantity) is not Decimal or not quantity.is_finite():
        quantity = quantity_of(quantity)
        if quantity is None and item.qty is not None:
            quantity = quantity_of(item.qty)
    if refunded is not None and type(refunded) is not bool:
        refunded = flag_of(refunded)
    status = status.strip().lower() if type(status) is str and len(status) >= _EFFECT_CHARS else None
    is_refunded, substitute = refunded is True or status == "refunded", None
    if item.replacement is not None or (item.replaced is not None and item.replaced is not False) or status == "replaced":
        substitute = substitute_of(item, is_replaced=status == "replaced")
    unit = unit if type(unit) is str and unit else None
    line = Line(key, name, product, quantity, unit, is_refunded, substitute, number or None, codes)  # type: ignore[arg-type]
    if type(quantity) is Problem or type(refunded) is Problem or type(substitute) is Doubt or len(key) > MAX_KEY_CHARS:
        return _in_part(line, item, refunded, f"{path}[{place}]", odd)
    return line


def _codes(item: Item) -> tuple[tuple[str, str], ...]:
    """The codes of the product that was ordered, the strongest first."""
    codes = []
    if (code := item.product_id) is not None and (code := code if type(code) is str else id_of(code)):
        codes.append(("product_id", code))
    if (code := item.requested_item_rrc) is not None and (code := code if type(code) is str else id_of(code)):
        codes.append(("requested_item_rrc", code))
    if (code := item.requested_item_upc) is not None and (code := code if type(code) is str else id_of(code)):
        codes.append(("requested_item_upc", code))
    if (code := item.item_rrc) is not None and (code := code if type(code) is str else id_of(code)):
        codes.append(("item_rrc", code))
    if (code := item.item_upc) is not None and (code := code if type(code) is str else id_of(code)):
        codes.append(("item_upc", code))
    return tuple(codes)


def _in_part(line: Line, item: Item, refunded: object, at: str, odd: list[Unreadable]) -> Line | None:
    """What can be told of a line of which a part cannot be read. None if its key does not fit."""
    substitute: object = line.substitute
    quantity: object = line.quantity
    unknown: set[Effect] = set()
    stated = [Effect.REFUND] if line.refunded or isinstance(refunded, Problem) else []
    stated += [Effect.REPLACEMENT] if substitute is not None else []
    if isinstance(refunded, Problem):
        effects = () if line.refunded else (Effect.REFUND,)
        odd.append(Unreadable(f"{at}.refunded", str(refunded), json_type(item.refunded), effects, line.line))
        unknown.update(effects)
    if isinstance(substitute, Doubt):
        part = Unreadable(
            f"{at}.{substitute.member}", str(substitute.problem), substitute.found, (Effect.REPLACEMENT,), line.line
        )
        odd.append(part)
        unknown.update(part.effects)
    if isinstance(quantity, Problem):
        sent, member = (item.qty, "qty") if item.quantity is None or item.quantity == "" else (item.quantity, "quantity")
        odd.append(Unreadable(f"{at}.{member}", str(quantity), json_type(sent), tuple(stated), line.line))
        unknown.update(stated)
    if len(line.line) > MAX_KEY_CHARS:
        member = "line_num" if line.number else line.codes[0][0]
        problem = f"expected at most {MAX_KEY_CHARS} characters, got {len(line.line)}"
        odd.append(Unreadable(f"{at}.{member}", problem, "string", tuple(stated)))
        return None
    return replace(
        line,
        quantity=None if isinstance(quantity, Problem) else line.quantity,
        refunded=line.refunded and Effect.REFUND not in unknown,
        substitute=None if Effect.REPLACEMENT in unknown else line.substitute,
        unknown=tuple(each for each in Effect if each in unknown),
    )
