"""What line numbers, quantities and names say of a line whose codes come and go, or stand on several lines."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.events import Effect
from tests.contract.test_item_lists import P_YES, TABLES, Item, P, listed
from tests.support.ledger_fixture import LedgerFixture

X = {"product_id": "X"}
FIRST, SEVENTH = X | {"line_num": "1", "quantity": 2}, X | {"line_num": "7", "quantity": 9}
PLACES = (
    [{"line_num": "1", "product_id": "G"}, {"line_num": "2"} | P, {"line_num": "3"} | P_YES],
    [{"line_num": "1"} | P, {"line_num": "2"} | P_YES],
)


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize(
    "lists",
    [([FIRST | {"yes": 1}], [SEVENTH], [FIRST | {"yes": 1}, SEVENTH]), PLACES],
    ids=["numbers tell lines of one product apart", "numbers are places, and a product is repeated"],
)
def test_all_lists_of_an_order_say_what_its_line_numbers_are_worth(
    lists: Sequence[list[Item]], effect: Effect, ledger_fixture: LedgerFixture
) -> None:
    events = [listed(effect, minute, *items) for minute, items in enumerate(lists)]
    for number, arrival in enumerate(itertools.permutations(events)):
        renamed = [replace(each, order_ids=(f"order-{number}",)) for each in arrival]
        for each in renamed:
            ledger_fixture.apply(TABLES[effect], each)
        (row,) = ledger_fixture.rows(TABLES[effect], f"order-{number}")
        assert row["withdrawn_by"] is None


def numbered(number: int, code: str | None, quantity: int, name: str | None = None, **more: Any) -> Item:
    """A line with a number and a quantity."""
    return (
        {"line_num": str(number), "quantity": quantity}
        | ({"product_id": code} if code else {})
        | ({"name": name} if name else {})
        | more
    )


YES: dict[str, Any] = {"yes": 1}
TRUE_LINES: dict[str, tuple[tuple[list[Item], ...], set[tuple[str, int, bool]]]] = {
    "a code that comes late, and a line that goes": (
        ([numbered(1, None, 1, "Milk", **YES), numbered(2, "P", 1, "Milk")], [numbered(1, "P", 1, "Milk", **YES)]),
        {("1", 1, False)},
    ),
    "a code that moves": (
        ([numbered(1, None, 1, **YES), numbered(2, "P", 2)], [numbered(1, "P", 1, **YES), numbered(2, None, 2)]),
        {("1", 1, False)},
    ),
    "a code that moves, and two refunds": (
        ([numbered(1, None, 1, "X", **YES), numbered(2, "P", 2, "X")], [numbered(1, "P", 1, "X", **YES), numbered(2, None, 2, "X", **YES)]),
        {("1", 1, False), ("2", 2, False)},
    ),
    "a line that goes, and its code to another": (
        (
            [numbered(1, None, 10, "X", **YES), numbered(2, "P", 1, "X"), numbered(3, None, 5, "X")],
            [numbered(2, None, 1, "X", **YES), numbered(3, "P", 5, "X")],
        ),
        {("1", 10, False), ("2", 1, False)},
    ),
    "two names of one code": (
        (
            [P | {"name": "Anna", "quantity": 1} | YES, P | {"name": "Ben", "quantity": 1}],
            [P | {"name": "Anna", "quantity": 1}, P | {"name": "Ben", "quantity": 1} | YES],
        ),
        {("P", 1, True), ("P#2", 1, False)},
    ),
    "leading zeros": (([{"item_upc": "0000000004011"} | YES], [{"item_upc": 4011} | YES]), {("0000000004011", 0, False)}),
    "a name in other letters": (([{"name": "Milk"} | YES], [{"name": " MILK "} | YES]), {("Milk", 0, False)}),
}  # fmt: skip


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize(("lists", "wanted"), TRUE_LINES.values(), ids=TRUE_LINES)
def test_number_quantity_and_name_say_more_than_a_code_that_comes_and_goes(
    lists: Sequence[list[Item]], wanted: set[tuple[str, int, bool]], effect: Effect, ledger_fixture: LedgerFixture
) -> None:
    for minute, items in enumerate(lists):
        ledger_fixture.apply(TABLES[effect], listed(effect, minute, *items))
    rows = ledger_fixture.rows(TABLES[effect])
    assert {(row["line"], int(row["quantity"] or 0), row["withdrawn_by"] is not None) for row in rows} == wanted
    assert len(rows) == len(wanted)
