"""One line, one refund or replacement: lists in any order, keys that move, and what a later list takes back. Real bodies."""

import itertools
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from schemas.events import Effect, Event, Kind
from tests.contract.handler_events import ORDER, at, event, line
from tests.support.ledger_fixture import LedgerFixture
from tests.support.waiting import wait_for
from workers.handlers.refunds import refunds
from workers.ledger.unit_of_work import UnitOfWork
from workers.testing import load_event

Item = dict[str, Any]
TABLES = {Effect.REFUND: "refunds", Effect.REPLACEMENT: "replacements"}
_arrivals = itertools.count()


def listed(effect: Effect, minute: int, *items: Item) -> Event:
    """A flat event that lists these items; `yes` marks those that show the effect."""
    shown = [{name: value for name, value in item.items() if name != "yes"} | _effect(effect, item) for item in items]
    name = "refund" if effect is Effect.REFUND else "replacement"
    body = {"event": f"order_item_{name}", "order_id": ORDER, "timestamp": at(minute).isoformat(), "items": shown}
    return load_event("instacart", json.dumps(body).encode(), f"{1_800_000_000_000 + next(_arrivals)}-0")


def _effect(effect: Effect, item: Item) -> Item:
    if "yes" not in item:
        return {}
    return {"refunded": True} if effect is Effect.REFUND else {"replacement": {"product_id": "other"}}


P, P_YES = {"product_id": "P"}, {"product_id": "P", "yes": 1}
NOTHING: Item = {}
GUM, MILK_YES = {"name": "Gum"}, {"name": "Milk", "yes": 1}
R, Q = {"item_rrc": "R"}, {"requested_item_rrc": "Q"}
REPEATED: dict[str, tuple[list[Item], list[Item]]] = {
    "the list in another order": ([P_YES, P], [P, P_YES]),
    "the other line gone, a quantity": ([P, P_YES | {"quantity": 2}], [P_YES | {"quantity": 2}]),
    "a quantity that comes later": ([P_YES, P], [P | {"quantity": 1}, P_YES | {"quantity": 3}]),
    "names only": ([GUM, MILK_YES], [MILK_YES]),
    "nothing but a flag": ([NOTHING, {"yes": 1}], [{"yes": 1}, NOTHING]),
    "nothing but a flag and a quantity": ([{"qty": 2}, {"yes": 1, "qty": 1}], [{"yes": 1, "qty": 1}]),
    "a requested code appears": ([R | {"yes": 1}], [R | Q | {"yes": 1}]),
    "the ordered code becomes the requested one": ([R | {"yes": 1}], [{"requested_item_rrc": "R", "item_rrc": "S", "yes": 1}]),
    "a code of another kind appears": ([{"item_upc": "U", "yes": 1}], [{"item_upc": "U", "item_rrc": "R", "yes": 1}]),
    "codes appear on a name": ([MILK_YES, GUM], [MILK_YES | R, GUM | Q]),
    "codes of other kinds under one name": ([MILK_YES | {"item_upc": "U"}], [MILK_YES | {"product_id": "P"}]),
    "numbers that are places": ([{"line_num": "1"} | P_YES, {"line_num": "2"} | R], [{"line_num": "1"} | R, {"line_num": "2"} | P_YES]),
    "a number that two lines have": ([{"line_num": "1"} | P_YES, {"line_num": "1"} | R], [{"line_num": "1"} | R, {"line_num": "1"} | P_YES]),
    "a number alone, twice": ([{"line_num": "1"}, {"line_num": "1", "yes": 1}], [{"line_num": "1", "yes": 1}]),
    "a number, under another product": ([{"line_num": "1"} | P_YES], [{"line_num": "1"} | R | {"yes": 1}]),
    "an id that is a number one day": ([{"product_id": "7", "yes": 1}, R], [R, {"product_id": 7, "yes": 1}]),
}  # fmt: skip


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("case", REPEATED)
def test_a_line_that_is_listed_again_is_no_second_one(ledger_fixture: LedgerFixture, case: str, effect: Effect) -> None:
    first, second = [listed(effect, minute, *items) for minute, items in enumerate(REPEATED[case])]
    for arrival in ([first, second], [second, first]):
        ledger_fixture.apply_each(*arrival)
        row = ledger_fixture.row(TABLES[effect])
        assert (row["event_id"], row["withdrawn_by"]) == (first.event_id, None)
    rows = ledger_fixture.rows(TABLES[effect])
    ledger_fixture.apply_in_batches(second, first, second)
    assert ledger_fixture.rows(TABLES[effect]) == rows


@pytest.mark.parametrize("effect", Effect)
def test_lines_that_nothing_ties_are_two(ledger_fixture: LedgerFixture, effect: Effect) -> None:
    ledger_fixture.apply_each(
        listed(effect, 1, P_YES), listed(effect, 2, {"product_id": "X", "yes": 1}), listed(effect, 3, MILK_YES)
    )
    assert [row["line"] for row in ledger_fixture.rows(TABLES[effect])] == ["Milk", "P", "X"]


@pytest.mark.parametrize("effect", Effect)
def test_two_lines_of_one_key_one_after_the_other_are_two_never_three(ledger_fixture: LedgerFixture, effect: Effect) -> None:
    table = TABLES[effect]
    lists: Sequence[Sequence[Item]] = ([P, P], [P, P_YES], [P_YES, P], [P_YES, P_YES], [P_YES])
    events = [listed(effect, minute, *items) for minute, items in enumerate(lists)]
    expected = None
    for number, arrivals in enumerate(itertools.permutations(events)):
        order = f"order-{number}"
        renamed = [_of_order(each, order) for each in arrivals]
        for batch in (renamed[: number % 5], renamed[number % 5 :]):
            ledger_fixture.apply(table, *batch)
        rows = [{name: value for name, value in row.items() if name != "order_id"} for row in ledger_fixture.rows(table, order)]
        expected = expected or rows
        assert rows == expected
        assert [(row["line"], row["event_id"]) for row in rows] == [("P", events[1].event_id), ("P#2", events[3].event_id)]


def _of_order(of: Event, order: str) -> Event:
    return replace(of, order_ids=(order,))


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("arrivals", list(itertools.permutations(range(3))), ids=str)
def test_what_a_later_list_takes_back_is_withdrawn_and_its_row_stays(
    ledger_fixture: LedgerFixture, effect: Effect, arrivals: tuple[int, ...]
) -> None:
    events = [listed(effect, 1, P_YES, R), listed(effect, 2, R, P), listed(effect, 3, P)]
    ledger_fixture.apply_each(*(events[number] for number in arrivals))
    row = ledger_fixture.row(TABLES[effect])
    assert (row["event_id"], row["withdrawn_by"], row["withdrawn_at"]) == (events[0].event_id, events[1].event_id, at(2))


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("arrivals", list(itertools.permutations(range(3))), ids=str)
def test_what_is_shown_again_stands_again(ledger_fixture: LedgerFixture, effect: Effect, arrivals: tuple[int, ...]) -> None:
    events = [listed(effect, 1, P_YES), listed(effect, 2, P), listed(effect, 3, P_YES)]
    ledger_fixture.apply_each(*(events[number] for number in arrivals))
    row = ledger_fixture.row(TABLES[effect])
    assert (row["event_id"], row["withdrawn_by"], row["withdrawn_at"]) == (events[0].event_id, None, None)


@pytest.mark.parametrize("effect", Effect)
def test_of_two_equal_lines_the_one_shown_again_is_the_one_that_was_shown_before(
    ledger_fixture: LedgerFixture, effect: Effect
) -> None:
    lists: Sequence[Sequence[Item]] = ([P, P], [P_YES, P], [P, P], [P_YES])
    ledger_fixture.apply_each(*(listed(effect, minute, *items) for minute, items in enumerate(lists)))
    row = ledger_fixture.row(TABLES[effect])
    assert (row["occurred_at"], row["withdrawn_by"]) == (at(1), None)


@pytest.mark.parametrize("effect", Effect)
def test_a_list_without_the_line_takes_nothing_back(ledger_fixture: LedgerFixture, effect: Effect) -> None:
    ledger_fixture.apply_each(listed(effect, 1, P_YES, R), listed(effect, 2, R), listed(effect, 3))
    assert ledger_fixture.row(TABLES[effect])["withdrawn_by"] is None


def test_a_line_that_cannot_be_read_neither_refunds_nor_takes_back(ledger_fixture: LedgerFixture) -> None:
    odd = P | {"refunded": "perhaps"}
    ledger_fixture.apply_each(listed(Effect.REFUND, 1, odd), listed(Effect.REFUND, 2, P_YES), listed(Effect.REFUND, 3, odd))
    row = ledger_fixture.row("refunds")
    assert (row["occurred_at"], row["withdrawn_by"]) == (at(2), None)
    ledger_fixture.apply_each(listed(Effect.REFUND, 4, P))
    assert ledger_fixture.row("refunds")["withdrawn_at"] == at(4)


def test_a_quantity_says_which_of_two_lines_is_refunded(ledger_fixture: LedgerFixture) -> None:
    one, two = {"product_id": "P", "quantity": 1}, {"product_id": "P", "quantity": 2}
    ledger_fixture.apply_each(listed(Effect.REFUND, 1, one | {"yes": 1}, two), listed(Effect.REFUND, 2, one, two | {"yes": 1}))
    assert [(row["line"], row["quantity"], row["withdrawn_at"]) for row in ledger_fixture.rows("refunds")] == [
        ("P", 1, at(2)),
        ("P#2", 2, None),
    ]


def substituted(minute: int, **codes: Any) -> Event:
    """An envelope in which the first of two lines is replaced; `codes` are those of what was delivered."""
    replaced = {"requested_item_rrc": "Q", "qty": 1, "replaced": True, **codes}
    body = {
        "event_id": minute,
        "event_name": "fulfillment.order_item_replacement",
        "event_timestamp": at(minute).isoformat(),
        "event_metadata": {"order_id": ORDER, "order_items": [{"item_rrc": "other"}, replaced]},
    }
    return load_event("instacart", json.dumps(body).encode(), f"{1_800_000_000_000 + next(_arrivals)}-0")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"item_rrc": "R"}, {"delivered_item_rrc": "D", "item_rrc": "R"}, {"R": None}),
        ({"delivered_item_rrc": "D", "item_rrc": "R"}, {"item_rrc": "R"}, {"D": None}),
        ({"delivered_item_rrc": "D", "item_rrc": "R"}, {}, {"D": None}),
        (
            {"delivered_item_rrc": "D1", "item_rrc": "R"},
            {"delivered_item_rrc": "D2", "item_rrc": "R"},
            {"D1": "D2", "D2": None},
        ),
        ({"item_upc": "U"}, {"delivered_item_upc": "U"}, {"U": None}),
        ({"replacement": {"name": "Oat"}}, {"replacement": {"name": "Oat", "product_id": "O"}}, {"Oat": None}),
    ],
)
def test_a_substitute_whose_codes_come_and_go_is_one(
    ledger_fixture: LedgerFixture, first: Item, second: Item, expected: dict[str, str | None]
) -> None:
    events = substituted(1, **first), substituted(2, **second)
    for arrival in (events, events[::-1]):
        ledger_fixture.apply_each(*arrival)
        rows = ledger_fixture.rows("replacements")
        assert {row["substitute"]: row["superseded_by"] for row in rows} == expected


def test_a_replacement_taken_back_is_marked_on_its_last_substitute(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(
        substituted(1, delivered_item_rrc="A"), substituted(2, delivered_item_rrc="B"), substituted(3, replaced=False)
    )
    rows = {row["substitute"]: (row["superseded_by"], row["withdrawn_at"]) for row in ledger_fixture.rows("replacements")}
    assert rows == {"A": ("B", None), "B": (None, at(3))}


def test_the_list_of_an_event_of_another_kind_says_nothing(ledger_fixture: LedgerFixture) -> None:
    refunded = line("milk", refunded=True)
    ledger_fixture.apply_each(
        event(Kind.ORDER_ITEM_REPLACEMENT, 1, lines=(refunded,)),
        event(Kind.ORDER_ITEM_REFUND, 2, lines=(refunded,)),
        event(Kind.ORDER_ITEM_REPLACEMENT, 3, lines=(line("milk"),)),
        event(Kind.DELIVERED, 4, lines=(line("milk"),)),
    )
    row = ledger_fixture.row("refunds")
    assert (row["occurred_at"], row["withdrawn_by"]) == (at(2), None)


def test_lines_are_kept_exactly_until_a_later_event_needs_them(ledger_fixture: LedgerFixture) -> None:
    digits = Decimal("0.000000000000000000000000000001")
    early = event(Kind.ORDER_ITEM_REFUND, 1, lines=(line("milk", quantity=digits, unit="lb 🥛"), line("milk#2", refunded=True)))
    ledger_fixture.apply_each(early, event(Kind.ORDER_ITEM_REFUND, 2, lines=(line("milk", refunded=True, quantity=digits),)))
    assert [row["quantity"] for row in ledger_fixture.rows("refunds")] == [None, digits]


def test_an_order_of_thousands_of_equal_lines_is_handled(ledger_fixture: LedgerFixture) -> None:
    many = tuple(line("milk", refunded=number % 2 == 0) for number in range(2_000))
    ledger_fixture.apply_each(*(event(Kind.ORDER_ITEM_REFUND, minute, lines=many) for minute in range(2)))
    assert len(ledger_fixture.rows("refunds")) == 1_000


def test_a_list_that_a_newer_release_reads_in_full_replaces_what_was_read_before(ledger_fixture: LedgerFixture) -> None:
    whole = event(Kind.ORDER_ITEM_REFUND, 1, lines=(line("milk", refunded=True), line("eggs", refunded=True)))
    ledger_fixture.apply_each(replace(whole, lines=whole.lines[:1]), whole)
    assert [row["line"] for row in ledger_fixture.rows("refunds")] == ["eggs", "milk"]


def test_of_two_workers_the_second_sees_the_list_of_the_first(ledger_fixture: LedgerFixture) -> None:
    """Their lists name the line by different keys, so that no unique key makes the second wait."""
    first, second = listed(Effect.REFUND, 1, R | {"yes": 1}), listed(Effect.REFUND, 2, R | Q | {"yes": 1})
    with ThreadPoolExecutor(1) as pool:
        with ledger_fixture.ledger.begin() as connection:
            refunds(UnitOfWork(lambda: connection, ledger_fixture.settings, at(3)), [first])
            done = pool.submit(ledger_fixture.apply, "refunds", second)
            if connection.dialect.name == "postgresql":
                waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
                wait_for(lambda: done.done() or connection.execute(waiting).scalar_one() > 0, 30, "the second to wait")
        done.result(30)
    assert [(row["line"], row["event_id"]) for row in ledger_fixture.rows("refunds")] == [("R", first.event_id)]
