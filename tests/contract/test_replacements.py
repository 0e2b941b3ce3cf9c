"""Replacements: one for each order, line and substitute; the newest substitute is the current one."""

import itertools
from decimal import Decimal

import pytest

from schemas.events import Kind, Line, Product
from tests.contract.handler_events import ORDER, at, event, line, replaced
from tests.support.ledger_fixture import LedgerFixture

REPLACEMENT = Kind.ORDER_ITEM_REPLACEMENT


def standing(ledger_fixture: LedgerFixture, order: str = ORDER) -> dict[tuple[str, str], str | None]:
    """By line and substitute, what superseded it."""
    return {(row["line"], row["substitute"]): row["superseded_by"] for row in ledger_fixture.rows("replacements", order)}


def test_a_list_that_repeats_a_replacement_adds_none(ledger_fixture: LedgerFixture) -> None:
    first = event(REPLACEMENT, 1, lines=(replaced("milk", "oat"), line("eggs")))
    second = event(REPLACEMENT, 2, lines=(replaced("milk", "oat"), replaced("eggs", "tofu")))
    ledger_fixture.apply_each(first, second)
    rows = ledger_fixture.rows("replacements")
    assert [(row["line"], row["event_id"], row["occurred_at"]) for row in rows] == [
        ("eggs", second.event_id, at(2)),
        ("milk", first.event_id, at(1)),
    ]
    assert standing(ledger_fixture) == {("milk", "oat"): None, ("eggs", "tofu"): None}


@pytest.mark.parametrize("arrivals", [(0, 1), (1, 0)], ids=["in order", "in reverse"])
def test_a_second_substitute_supersedes_the_first(ledger_fixture: LedgerFixture, arrivals: tuple[int, ...]) -> None:
    events = [event(REPLACEMENT, 1, lines=(replaced("milk", "oat"),)), event(REPLACEMENT, 2, lines=(replaced("milk", "soy"),))]
    ledger_fixture.apply_each(*(events[number] for number in arrivals))
    assert standing(ledger_fixture) == {("milk", "oat"): "soy", ("milk", "soy"): None}


@pytest.mark.parametrize("arrivals", list(itertools.permutations(range(3))), ids=str)
def test_a_substitute_listed_again_stands_again(ledger_fixture: LedgerFixture, arrivals: tuple[int, ...]) -> None:
    events = [event(REPLACEMENT, n, lines=(replaced("milk", by),)) for n, by in enumerate(["oat", "soy", "oat"])]
    ledger_fixture.apply_each(*(events[number] for number in arrivals))
    assert standing(ledger_fixture) == {("milk", "oat"): None, ("milk", "soy"): "oat"}
    assert [row["occurred_at"] for row in ledger_fixture.rows("replacements")] == [at(0), at(1)]


def test_a_batch_ends_as_its_events_one_by_one(ledger_fixture: LedgerFixture) -> None:
    lists = [("oat", "tofu"), ("soy", "tofu"), ("rice", "beans"), ("soy", "tofu")]
    for order in ("one by one", "batch"):
        events = [
            event(REPLACEMENT, n, order, lines=(replaced("milk", a), replaced("eggs", b))) for n, (a, b) in enumerate(lists)
        ]
        if order == "batch":
            ledger_fixture.apply("replacements", *events)
        else:
            ledger_fixture.apply_each(*events)
    assert standing(ledger_fixture, "batch") == standing(ledger_fixture, "one by one")
    assert standing(ledger_fixture, "batch")["milk", "oat"] == "soy"


def test_a_substitute_of_one_order_does_not_supersede_that_of_another(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(
        event(REPLACEMENT, 1, "a", lines=(replaced("1", "oat"),)), event(REPLACEMENT, 2, "b", lines=(replaced("1", "soy"),))
    )
    assert standing(ledger_fixture, "a") == {("1", "oat"): None}


def test_two_lines_of_the_same_product_are_replaced_each_for_itself(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(REPLACEMENT, 1, lines=(replaced("milk", "oat"), replaced("milk#2", "soy"))))
    assert standing(ledger_fixture) == {("milk", "oat"): None, ("milk#2", "soy"): None}


def test_what_was_ordered_and_what_came_instead_are_kept_exactly(ledger_fixture: LedgerFixture) -> None:
    substitute = Product("soy", "Sojadrank 🥛", Decimal("0.453"))
    ledger_fixture.apply_each(
        event(REPLACEMENT, 1, lines=(Line("1", "Melk", "milk", Decimal("1.50"), "l", substitute=substitute),))
    )
    row = ledger_fixture.row("replacements")
    assert (row["product"], row["product_name"], str(row["quantity"]), row["unit"]) == ("milk", "Melk", "1.50", "l")
    assert (row["substitute_name"], str(row["substitute_quantity"])) == ("Sojadrank 🥛", "0.453")


def test_a_large_batch_costs_as_many_statements_as_a_small_one(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(REPLACEMENT, 0))
    counts = []
    for size in (1, 100):
        batch = [event(REPLACEMENT, n, f"{size}-{n}", lines=(replaced("1", "oat"), replaced("2", "soy"))) for n in range(size)]
        with ledger_fixture.recording_statements() as statements:
            ledger_fixture.apply("replacements", *batch)
        counts.append(len([each for each in statements if not each.startswith("BEGIN")]))
    assert counts == [5, 5], "the lock, two reads, the lists and the rows"
