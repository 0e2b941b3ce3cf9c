"""Replacements: one row for each line and substitute that a list has shown, from the first list that does.

Every event carries the whole item list, in any order of its lines. The rows are worked out from all lists of replacement events
of the order (`workers.ledger.item_lists`), so their order of arrival does not count.

- Another substitute of a line supersedes those before. One that a newer list shows again is the line's substitute again.
- A line that the newest list that shows it shows as not replaced is withdrawn: the row of its last substitute says by which event
  and when, and stays.
- Two substitutes of a line are one if the strongest kind of code that both have is equal. Without such a kind, any equal
  code makes them one; without any code of one of them, the name does.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from schemas.events import Effect, Event, Kind, Line, Product
from workers.handler import UnitOfWork, handler
from workers.ledger.item_effects import (
    ItemList,
    LineHistory,
    Shown,
    first_values,
    histories,
    list_of_row,
    row_keys,
    unique_keys,
    withdrawal_values,
)
from workers.ledger.item_lines import State
from workers.ledger.item_lists import ItemEffect, lists_by_order
from workers.ledger.tables import replacements as table
from workers.ledger.unreadable_parts import fail_unreadable
from workers.ledger.upsert import Row

_UNKNOWN = "unknown"
"""The product of a substitute of which the provider says nothing."""


@handler("replacements", Kind.ORDER_ITEM_REPLACEMENT)
def replacements(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Write the replacements of these events' orders, and which substitute is the current one of each line."""
    if lists := lists_by_order(events):
        _REPLACEMENTS.apply(work.connection, lists)
    fail_unreadable(work, events, Effect.REPLACEMENT)


def rows_of(lists: Iterable[ItemList]) -> list[Row]:
    """The rows of an order with these lists. Pure."""
    found = histories(lists, _state)
    return [row for history, key in zip(found, row_keys(found), strict=True) for row in _rows_of_line(history, key)]


def _state(line: Line) -> State | None:
    if Effect.REPLACEMENT in line.unknown:
        return None
    return (False, "") if line.substitute is None else (True, line.substitute.product)


class _Substitute:
    """A product that has replaced a line, and what shows it, oldest first."""

    def __init__(self, product: Product) -> None:
        self.product, self.codes, self.shown = product.product, dict[str, str](), list[Shown]()
        self.names = set[str]()

    def add(self, shown: Shown, product: Product) -> None:
        """Add a list that shows it."""
        self.shown.append(shown)
        self.codes.update(product.codes)
        self.names.update(_names(product))

    def is_same(self, product: Product) -> bool:
        """Whether the product is this one."""
        for kind, value in product.codes:
            if kind in self.codes:
                return self.codes[kind] == value
        if self.codes and product.codes:
            return not {value for _, value in product.codes}.isdisjoint(self.codes.values())
        return not _names(product).isdisjoint(self.names)


def _names(product: Product) -> set[str]:
    """What names a product where codes of a kind are missing."""
    return {product.product, product.name or product.product, *(value for _, value in product.codes)}


def _rows_of_line(history: LineHistory, key: str) -> Iterator[Row]:
    recent: list[_Substitute] = []  # the current one last
    found: list[_Substitute] = []
    for shown in history.shown:
        if (product := shown.line.substitute) is not None:
            says_nothing = product.product == _UNKNOWN and not product.codes
            same = next((each for each in reversed(recent) if says_nothing or each.is_same(product)), None)
            if same is None:
                found.append(same := _Substitute(product))
            else:
                recent.remove(same)
            recent.append(same)
            same.add(shown, product)
    names = dict(zip(map(id, found), unique_keys(each.product for each in found), strict=True))
    for each in found:
        is_current, first = each is recent[-1], each.shown[0]
        substitute = first.line.substitute or Product(names[id(each)])
        yield {
            **first_values(first, key),
            "substitute": names[id(each)],
            "substitute_name": substitute.name,
            "substitute_quantity": substitute.quantity,
            "last_news": each.shown[-1].by.news,
            "superseded_by": None if is_current else names[id(recent[-1])],
            **withdrawal_values(history.withdrawal() if is_current else None),
        }


def _lists_of_row(row: Row, lists: Collection[ItemList]) -> Iterator[ItemList]:
    """What the row says of the first list that shows the substitute, and of the last one."""
    known = [each for each in lists if not each.is_row]
    substitute = Product(row["substitute"], row["substitute_name"], row["substitute_quantity"])
    line = Line(row["line"], row["product_name"], row["product"], row["quantity"], row["unit"], substitute=substitute)
    is_first_known = row["event_id"] in {each.event_id for each in known}
    if not is_first_known:
        yield list_of_row(row, row["first_news"], line)
    if row["last_news"] not in {each.news for each in known} and (is_first_known or row["last_news"] != row["first_news"]):
        yield list_of_row(row, row["last_news"], line)


_REPLACEMENTS = ItemEffect(Effect.REPLACEMENT, table, rows_of, _lists_of_row)
