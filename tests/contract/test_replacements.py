"""Replacements: one for each order, line and substitute, and the newest substitute stands."""

import itertools
from decimal import Decimal

import pytest

from schemas.events import Kind, Line, Product
from tests.support.books import Books
from tests.support.events import ORDER, at, event, line, replaced

REPLACEMENT = Kind.ORDER_ITEM_REPLACEMENT


def standing(books: Books, order: str = ORDER) -> dict[tuple[str, str], str | None]:
    """By line and substitute, what superseded it."""
    return {(row["line"], row["substitute"]): row["superseded_by"] for row in books.rows("replacements", order)}


def test_a_list_that_repeats_a_replacement_adds_none(books: Books) -> None:
    first = event(REPLACEMENT, 1, lines=(replaced("milk", "oat"), line("eggs")))
    second = event(REPLACEMENT, 2, lines=(replaced("milk", "oat"), replaced("eggs", "tofu")))
    books.tell(first, second)
    rows = books.rows("replacements")
    assert [(row["line"], row["event_id"], row["occurred_at"]) for row in rows] == [
        ("eggs", second.event_id, at(2)),
        ("milk", first.event_id, at(1)),
    ]
    assert standing(books) == {("milk", "oat"): None, ("eggs", "tofu"): None}


@pytest.mark.parametrize("arrivals", [(0, 1), (1, 0)], ids=["in order", "in reverse"])
def test_a_second_substitute_supersedes_the_first(books: Books, arrivals: tuple[int, ...]) -> None:
    events = [event(REPLACEMENT, 1, lines=(replaced("milk", "oat"),)), event(REPLACEMENT, 2, lines=(replaced("milk", "soy"),))]
    books.tell(*(events[number] for number in arrivals))
    assert standing(books) == {("milk", "oat"): "soy", ("milk", "soy"): None}


@pytest.mark.parametrize("arrivals", list(itertools.permutations(range(3))), ids=str)
def test_a_substitute_listed_again_stands_again(books: Books, arrivals: tuple[int, ...]) -> None:
    events = [event(REPLACEMENT, n, lines=(replaced("milk", by),)) for n, by in enumerate(["oat", "soy", "oat"])]
    books.tell(*(events[number] for number in arrivals))
    assert standing(books) == {("milk", "oat"): None, ("milk", "soy"): "oat"}
    assert [row["occurred_at"] for row in books.rows("replacements")] == [at(0), at(1)]


def test_a_batch_ends_as_its_events_one_by_one(books: Books) -> None:
    lists = [("oat", "tofu"), ("soy", "tofu"), ("rice", "beans"), ("soy", "tofu")]
    for order in ("one by one", "batch"):
        events = [
            event(REPLACEMENT, n, order, lines=(replaced("milk", a), replaced("eggs", b))) for n, (a, b) in enumerate(lists)
        ]
        if order == "batch":
            books.apply("replacements", *events)
        else:
            books.tell(*events)
    assert standing(books, "batch") == standing(books, "one by one")
    assert standing(books, "batch")["milk", "oat"] == "soy"


def test_a_substitute_of_one_order_does_not_supersede_that_of_another(books: Books) -> None:
    books.tell(
        event(REPLACEMENT, 1, "a", lines=(replaced("1", "oat"),)), event(REPLACEMENT, 2, "b", lines=(replaced("1", "soy"),))
    )
    assert standing(books, "a") == {("1", "oat"): None}


def test_two_lines_of_the_same_product_are_replaced_each_for_itself(books: Books) -> None:
    books.tell(event(REPLACEMENT, 1, lines=(replaced("milk", "oat"), replaced("milk#2", "soy"))))
    assert standing(books) == {("milk", "oat"): None, ("milk#2", "soy"): None}


def test_what_was_ordered_and_what_came_instead_are_kept_exactly(books: Books) -> None:
    substitute = Product("soy", "Sojadrank 🥛", Decimal("0.453"))
    books.tell(event(REPLACEMENT, 1, lines=(Line("1", "Melk", "milk", Decimal("1.50"), "l", substitute=substitute),)))
    row = books.row("replacements")
    assert (row["product"], row["product_name"], str(row["quantity"]), row["unit"]) == ("milk", "Melk", "1.50", "l")
    assert (row["substitute_name"], str(row["substitute_quantity"])) == ("Sojadrank 🥛", "0.453")


def test_a_large_batch_costs_as_many_statements_as_a_small_one(books: Books) -> None:
    books.tell(event(REPLACEMENT, 0))
    counts = []
    for size in (1, 100):
        batch = [event(REPLACEMENT, n, f"{size}-{n}", lines=(replaced("1", "oat"), replaced("2", "soy"))) for n in range(size)]
        with books.counting() as statements:
            books.apply("replacements", *batch)
        counts.append(len([each for each in statements if not each.startswith("BEGIN")]))
    assert counts == [3, 3]
