"""Refunds: one for each order and line, whatever is repeated."""

from decimal import Decimal

import pytest

from schemas.events import Kind
from tests.contract.handler_events import at, event, line
from tests.support.ledger_fixture import LedgerFixture

REFUND = Kind.ORDER_ITEM_REFUND


def test_a_line_is_refunded_once_though_every_event_repeats_the_whole_list(ledger_fixture: LedgerFixture) -> None:
    milk, eggs, rice = line("milk", refunded=True), line("eggs", refunded=True), line("rice")
    first, second = event(REFUND, 1, lines=(milk, line("eggs"), rice)), event(REFUND, 2, lines=(milk, eggs, rice))
    ledger_fixture.apply_each(first, second, second)
    assert [(row["line"], row["event_id"]) for row in ledger_fixture.rows("refunds")] == [
        ("eggs", second.event_id),
        ("milk", first.event_id),
    ]


def test_a_refund_keeps_its_earliest_time_even_if_that_event_arrives_last(ledger_fixture: LedgerFixture) -> None:
    late = event(REFUND, 5, lines=(line("milk", refunded=True, quantity=Decimal(2)),))
    early = event(REFUND, 1, lines=(line("milk", refunded=True, quantity=Decimal(1)),))
    ledger_fixture.apply_each(late, early)
    row = ledger_fixture.row("refunds")
    assert (row["occurred_at"], row["event_id"], row["quantity"]) == (at(1), early.event_id, 1)
    assert row["received_at"] == early.received_at


def test_two_lines_of_the_same_product_are_refunded_both(ledger_fixture: LedgerFixture) -> None:
    lines = (line("milk", refunded=True, unit="each"), line("milk#2", refunded=True, unit="each"))
    ledger_fixture.apply_each(event(REFUND, 1, lines=lines), event(REFUND, 2, lines=lines))
    assert [row["line"] for row in ledger_fixture.rows("refunds")] == ["milk", "milk#2"]


def test_the_same_line_of_two_orders_is_refunded_in_both(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(
        event(REFUND, 1, "a", lines=(line("1", refunded=True),)), event(REFUND, 1, "b", lines=(line("1", refunded=True),))
    )
    assert [row["order_id"] for row in ledger_fixture.rows("refunds")] == ["a", "b"]


def test_an_event_that_refunds_nothing_writes_nothing(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(REFUND, 1, lines=(line("milk"),)), event(REFUND, 2))
    assert ledger_fixture.rows("refunds") == []


@pytest.mark.parametrize(
    "digits",
    ["0.453", "1.50", "1e-10", "123456789012345678901234567890", "0.000000000000000000000000000001", "1E+3", "0", "-1.5"],
)
def test_a_quantity_is_kept_to_the_last_digit(ledger_fixture: LedgerFixture, digits: str) -> None:
    ledger_fixture.apply_each(event(REFUND, 1, lines=(line("apples", refunded=True, quantity=Decimal(digits), unit="lb"),)))
    row = ledger_fixture.row("refunds")
    assert format(row["quantity"], "f") == format(Decimal(digits), "f")
    assert row["unit"] == "lb"


def test_a_refund_without_a_quantity_is_stored_without_one(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(REFUND, 1, lines=(line("milk", refunded=True),)))
    assert ledger_fixture.row("refunds")["quantity"] is None


def test_a_large_batch_costs_as_many_statements_as_a_small_one(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(REFUND, 0, "other", lines=(line("1", refunded=True),)))
    counts = []
    for minutes in (1, 2):
        for size in (1, 100):
            lines = tuple(line(str(number), refunded=number < 2 * minutes) for number in range(5))
            batch = [event(REFUND, minutes, f"{size}-{number}", lines=lines) for number in range(size)]
            with ledger_fixture.recording_statements() as statements:
                ledger_fixture.apply("refunds", *batch)
            counts.append(len([text for text in statements if not text.startswith("BEGIN")]))
    assert counts == [5] * 4, "the lock, two reads, the lists and the rows"
    assert len(ledger_fixture.rows("refunds")) == 1 + 101 * 4
