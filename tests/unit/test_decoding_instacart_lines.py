"""The order lines of Instacart Connect: quantities, refunds, replacements and their keys."""

from decimal import Decimal

import pytest

from schemas.events import Line, Product
from tests.payloads import recorded
from tests.unit.instacart_bodies import flat, line_of, read


def test_the_lines_of_a_flat_replacement_are_read() -> None:
    assert read(recorded("instacart/flat/order_item_replacement")).lines == (
        Line("0042-bananas", "Bananas, organic", "0042-bananas", Decimal(6)),
        Line(
            "0042-oat-milk",
            "Oat milk, 1 l",
            "0042-oat-milk",
            Decimal(2),
            substitute=Product("0042-oat-milk-barista", "Oat milk barista, 1 l", Decimal(2)),
        ),
        Line("0042-sourdough", "Sourdough loaf", "0042-sourdough", Decimal(1)),
    )


def test_the_lines_of_an_envelope_refund_are_read_to_the_last_digit() -> None:
    lines = read(recorded("instacart/envelope/order_item_refund")).lines
    assert lines == (
        Line("1", None, "RRC-1001", Decimal("0.453"), "kg"),
        Line("2", None, "RRC-1002", Decimal(2), "each", substitute=Product("RRC-2002", None, Decimal(2))),
        Line("3", None, "RRC-1003", Decimal("1.50"), "lb", refunded=True),
    )
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
    assert line_of(**ids, replaced=True).substitute == Product("dr")
    assert line_of(**ids | {"delivered_item_rrc": ""}, replaced=True).substitute == Product("du")
    assert line_of(item_upc="u", replaced={"reason": "x"}).substitute == Product("u")
    assert line_of(line_num="1", status="replaced").substitute == Product("unknown")
    assert line_of(**ids, replaced=False).substitute is None
    assert line_of(**ids, replaced={}).substitute is None


def test_an_empty_replacement_replaces_nothing() -> None:
    assert read(flat(items=[{"product_id": "p", "replacement": {}}])).lines[0].substitute is None


def test_a_replacement_without_a_product_is_known_by_its_name() -> None:
    assert read(flat(items=[{"product_id": "p", "replacement": {"name": "Rye"}}])).lines[0].substitute == Product("Rye", "Rye")
    long = read(flat(items=[{"product_id": "p", "replacement": {"name": "y" * 300}}])).lines[0].substitute
    assert long == Product("y" * 255, "y" * 300)


def test_a_lines_key_is_its_number_else_its_product_else_its_position() -> None:
    assert line_of(line_num="7", item_rrc="r").line == "7"
    assert line_of(line_num=7).line == "7", "a number names the same line as its digits"
    assert line_of(line_num="", requested_item_rrc="asked", item_rrc="got").line == "asked"
    assert line_of(item_upc=4011).line == "4011"
    assert line_of(qty=1).line == "[0]"


@pytest.mark.parametrize("odd", [[1], {"a": 1}, True, 1.5])
def test_a_product_code_that_is_no_text_names_nothing(odd: object) -> None:
    assert line_of(item_rrc=odd, item_upc="u") == Line("u", None, "u")


def test_two_lines_of_one_product_can_both_be_refunded() -> None:
    lines = read(flat(items=[{"product_id": "p"}, {"product_id": "p"}, {"product_id": "p"}])).lines
    assert [line.line for line in lines] == ["p", "p#2", "p#3"]


def test_no_two_lines_of_an_order_share_a_key_whatever_they_are_called() -> None:
    for names in (["A", "A", "A#2"], ["A#2", "A", "A"], ["A", "A#2", "A", "A"], ["[1]", ""], ["", "[0]", "[0]"]):
        lines = read(flat(items=[{"product_id": name} for name in names])).lines
        assert len({line.line for line in lines}) == len(names), names


def test_a_long_name_repeated_still_fits_its_column() -> None:
    lines = read(flat(items=[{"product_id": "p" * 255}] * 3)).lines
    assert {len(line.line) for line in lines} == {255}
    assert len({line.line for line in lines}) == 3
