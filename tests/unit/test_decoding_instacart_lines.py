"""The order lines of Instacart Connect: quantities, refunds, replacements and their keys."""

from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from schemas.events import Effect, Line, Product
from tests.payloads import recorded
from tests.unit.instacart_bodies import envelope, flat, line_of, read


def of(product_id: str) -> tuple[tuple[str, str], ...]:
    return (("product_id", product_id),)


def test_the_lines_of_a_flat_replacement_are_read() -> None:
    assert read(recorded("instacart/flat/order_item_replacement")).lines == (
        Line("0042-bananas", "Bananas, organic", "0042-bananas", Decimal(6), codes=of("0042-bananas")),
        Line(
            "0042-oat-milk",
            "Oat milk, 1 l",
            "0042-oat-milk",
            Decimal(2),
            substitute=Product("0042-oat-milk-barista", "Oat milk barista, 1 l", Decimal(2), of("0042-oat-milk-barista")),
            codes=of("0042-oat-milk"),
        ),
        Line("0042-sourdough", "Sourdough loaf", "0042-sourdough", Decimal(1), codes=of("0042-sourdough")),
    )


def test_the_lines_of_an_envelope_refund_are_read_to_the_last_digit() -> None:
    lines = read(recorded("instacart/envelope/order_item_refund")).lines
    assert [(line.line, line.number, line.product, line.unit, line.refunded) for line in lines] == [
        ("1", "1", "RRC-1001", "kg", False),
        ("2", "2", "RRC-1002", "each", False),
        ("3", "3", "RRC-1003", "lb", True),
    ]
    assert [line.substitute for line in lines] == [None, lines[1].substitute, None]
    assert lines[1].substitute is not None
    assert (lines[1].substitute.product, lines[1].substitute.quantity) == ("RRC-2002", Decimal(2))
    assert [kind for kind, _ in lines[0].codes] == ["requested_item_rrc", "requested_item_upc", "item_rrc", "item_upc"]
    assert [str(line.quantity) for line in lines] == ["0.453", "2", "1.50"]


@pytest.mark.parametrize("literal", ["0.1", "1.50", "12345678901234567890.123456789", "1E+2", "-2", '"0.453"', '"1.50"'])
def test_quantities_are_exact(literal: str) -> None:
    body = b'{"event":"picking","order_id":"o","items":[{"product_id":"p","quantity":%s}]}' % literal.encode()
    assert str(read(body).lines[0].quantity) == literal.strip('"')


def test_a_refund_is_seen_by_its_flag_or_by_its_status() -> None:
    items = [{"refunded": True}, {"status": "refunded"}, {"refunded": False, "status": "found"}, {"refunded": None}]
    assert [line.refunded for line in read(flat(items=items)).lines] == [True, True, False, False]


def test_the_substitute_is_what_was_delivered_in_a_replaced_line() -> None:
    ids = {
        "item_upc": "u",
        "item_rrc": "r",
        "requested_item_rrc": "old",
        "delivered_item_upc": "du",
        "delivered_item_rrc": "dr",
    }
    codes = (("delivered_item_rrc", "dr"), ("delivered_item_upc", "du"), ("item_rrc", "r"), ("item_upc", "u"))
    assert line_of(**ids, replaced=True).substitute == Product("dr", codes=codes)
    assert line_of(**ids | {"delivered_item_rrc": ""}, replaced=True).substitute == Product("du", codes=codes[1:])
    assert line_of(item_upc="u", replaced={"reason": "x"}).substitute == Product("u", codes=codes[3:])
    assert line_of(line_num="1", status="replaced").substitute == Product("unknown")
    assert line_of(**ids, replaced=False).substitute is None
    assert line_of(**ids, replaced={}).substitute is None


def test_an_empty_replacement_replaces_nothing() -> None:
    assert read(flat(items=[{"product_id": "p", "replacement": {}}])).lines[0].substitute is None


def test_a_replacement_without_a_product_is_known_by_its_name() -> None:
    assert read(flat(items=[{"product_id": "p", "replacement": {"name": "Rye"}}])).lines[0].substitute == Product("Rye", "Rye")
    long = read(flat(items=[{"product_id": "p", "replacement": {"name": "y" * 300}}])).lines[0].substitute
    assert long == Product("y" * 255, "y" * 300)


def test_a_lines_key_is_its_number_else_its_product_else_its_name_else_its_position() -> None:
    assert line_of(line_num="7", item_rrc="r").line == "7"
    assert line_of(line_num=7).line == "7", "a number names the same line as its digits"
    assert line_of(line_num="", requested_item_rrc="asked", item_rrc="got").line == "asked"
    assert line_of(item_upc=4011).line == "4011"
    assert line_of(qty=1, name="Gum").line == "Gum"
    assert line_of(qty=1, name="y" * 300).line == "y" * 255
    assert line_of(qty=1).line == "[0]"


@pytest.mark.parametrize("odd", [[1], {"a": 1}, True, 1.5])
def test_a_product_code_that_is_no_text_names_nothing(odd: object) -> None:
    assert line_of(item_rrc=odd, item_upc="u") == Line("u", None, "u", codes=(("item_upc", "u"),))


def test_two_lines_of_one_product_can_both_be_refunded() -> None:
    lines = read(flat(items=[{"product_id": "p"}, {"product_id": "p"}, {"product_id": "p"}])).lines
    assert [line.line for line in lines] == ["p", "p#2", "p#3"]


def test_no_two_lines_of_an_order_share_a_key_whatever_they_are_called() -> None:
    for names in (["A", "A", "A#2"], ["A#2", "A", "A"], ["A", "A#2", "A", "A"], ["[1]", ""], ["", "[0]", "[0]"]):
        lines = read(flat(items=[{"product_id": name} for name in names])).lines
        assert len({line.line for line in lines}) == len(names), names


def test_the_order_of_a_list_does_not_change_the_keys_of_lines_that_share_one() -> None:
    milk: list[dict[str, Any]] = [{"refunded": True}, {}, {"quantity": 2}, {"quantity": 3, "replacement": {"product_id": "x"}}]
    found = set()
    for items in permutations({"product_id": "milk"} | each for each in milk):
        lines = read(flat(items=list(items))).lines
        found.add(frozenset((line.line, line.refunded, line.quantity, line.substitute) for line in lines))
    assert len(found) == 1
    assert {name for name, refunded, _, _ in found.pop() if refunded} == {"milk"}


@pytest.mark.parametrize(
    ("sent", "refunded"),
    [
        (True, True), (1, True), (1.0, True), ("true", True), (" TRUE ", True), ("Yes", True), ("1", True), (False, False), (0, False),
        ("false", False), ("no", False), ("0", False), ("", False), (None, False), (2, None), ("perhaps", None), ([], None), ({}, None),
    ],
)  # fmt: skip
def test_a_flag_is_read_where_its_meaning_is_plain(sent: object, refunded: bool | None) -> None:
    event = read(envelope(order_items=[{"line_num": "7", "refunded": sent, "qty": "x"}]))
    (line,) = event.lines
    assert (line.refunded, line.unknown) == (refunded is True and False, () if refunded is False else (Effect.REFUND,))
    (line,) = read(envelope(order_items=[{"line_num": "7", "refunded": sent}])).lines
    assert (line.refunded, line.unknown) == (refunded is True, (Effect.REFUND,) if refunded is None else ())


@pytest.mark.parametrize(
    ("sent", "quantity"),
    [(1, "1"), (0.385, "0.385"), ("1.50", "1.50"), (" 2 ", "2"), ("1e3", "1E+3"), ("+.5", "0.5"), ("", None), (None, None)],
)
def test_a_quantity_is_read_where_it_is_a_plain_number(sent: object, quantity: str | None) -> None:
    (line,) = read(envelope(order_items=[{"qty": sent, "refunded": True}])).lines
    assert (line.quantity is None, str(line.quantity)) == (quantity is None, str(quantity))


@pytest.mark.parametrize("sent", ["1,5", "2 lb", "NaN", "1_000", "١", True, [], {}, "1" * 61, 10**61, 1e99])
def test_a_quantity_that_is_no_plain_number_leaves_its_line_unknown(sent: object) -> None:
    items = [
        {"line_num": "1", "qty": sent, "refunded": True, "replaced": True, "item_rrc": "r"},
        {"line_num": "2", "quantity": sent},
    ]
    event = read(envelope(order_items=items))
    assert [(line.line, line.refunded, line.substitute, line.quantity, line.unknown) for line in event.lines] == [
        ("1", False, None, None, (Effect.REFUND, Effect.REPLACEMENT)),
        ("2", False, None, None, ()),
    ]
    effects = {part.path.rpartition(".")[2]: set(part.effects) for part in event.unreadable}
    assert effects["quantity"] == set()
    assert Effect.REFUND in effects["qty"] or Effect.REPLACEMENT in effects["qty"]
    assert {part.line for part in event.unreadable} == {"1", "2"}


def test_a_part_names_its_line_by_the_key_that_the_line_has_in_the_end() -> None:
    items = [
        {"product_id": "p", "refunded": True},
        {"product_id": "p", "refunded": "?"},
        {"product_id": "p" * 300, "refunded": True},
    ]
    event = read(flat(items=items))
    assert [line.line for line in event.lines] == ["p", "p#2"]
    assert [(part.path, part.line) for part in event.unreadable] == [
        ("$.items[1].refunded", "p#2"),
        ("$.items[2].product_id", None),
    ]


def test_a_long_name_repeated_still_fits_its_column() -> None:
    lines = read(flat(items=[{"product_id": "p" * 255}] * 3)).lines
    assert {len(line.line) for line in lines} == {255}
    assert len({line.line for line in lines}) == 3
