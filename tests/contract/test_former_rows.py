"""Refunds and replacements that release 0.1 wrote, or writes beside this one: no list of theirs is stored. None is lost or doubled."""

from collections.abc import Callable
from typing import Any

import pytest

from schemas.events import Event, Kind, Line
from tests.contract.handler_events import ORDER, at, event, line, replaced
from tests.support.ledger_fixture import LedgerFixture
from workers.ledger.event_order import ordering_key
from workers.ledger.tables import metadata
from workers.ledger.upsert import Row

REFUND, REPLACEMENT = Kind.ORDER_ITEM_REFUND, Kind.ORDER_ITEM_REPLACEMENT


@pytest.fixture
def write(ledger_fixture: LedgerFixture) -> Callable[..., None]:
    """Writes a row as release 0.1 did."""

    def write(table: str, of: Event, key: str, **columns: Any) -> None:
        its, news = metadata.tables[table], ordering_key(of)
        row: Row = {"provider": of.provider, "order_id": ORDER, "line": key, "event_id": of.event_id}
        row |= {"occurred_at": of.occurred_at, "received_at": of.received_at, "first_news": news}
        with ledger_fixture.ledger.begin() as connection:
            connection.execute(its.insert(), row | columns)

    return write


def refunds(ledger_fixture: LedgerFixture) -> list[tuple[Any, ...]]:
    return [(row["line"], row["event_id"], row["withdrawn_by"]) for row in ledger_fixture.rows("refunds")]


def test_a_refund_of_an_old_worker_is_not_doubled_by_a_list_in_another_order(
    ledger_fixture: LedgerFixture, write: Callable[..., None]
) -> None:
    old = event(REFUND, 1)
    write("refunds", old, "milk#2", product="milk")
    for minute in (2, 3):
        ledger_fixture.apply_each(event(REFUND, minute, lines=(line("milk", refunded=True), Line("milk#2", product="milk"))))
        assert refunds(ledger_fixture) == [("milk#2", old.event_id, None)]


def test_two_refunds_of_one_product_of_an_old_worker_stay_two(
    ledger_fixture: LedgerFixture, write: Callable[..., None]
) -> None:
    first, second = event(REFUND, 1), event(REFUND, 2)
    write("refunds", first, "milk", product="milk")
    write("refunds", second, "milk#2", product="milk")
    lines = (line("milk", refunded=True), Line("milk#2", product="milk", refunded=True), line("eggs", refunded=True))
    last = event(REFUND, 3, lines=lines)
    ledger_fixture.apply_each(last)
    expected = [("eggs", last.event_id, None), ("milk", first.event_id, None), ("milk#2", second.event_id, None)]
    assert refunds(ledger_fixture) == expected


@pytest.mark.parametrize("number", ["[1]", "1", "1#2"])
def test_an_old_key_is_kept_where_the_product_ties_it(
    ledger_fixture: LedgerFixture, write: Callable[..., None], number: str
) -> None:
    old = event(REFUND, 1)
    write("refunds", old, number, product="P", quantity=1)
    listed = Line("7", product="P", refunded=True, number="7", codes=(("item_rrc", "P"),))
    ledger_fixture.apply_each(event(REFUND, 2, lines=(listed, line("eggs"))))
    assert refunds(ledger_fixture) == [(number, old.event_id, None)]


@pytest.mark.parametrize("is_reverse", [False, True])
def test_what_an_old_row_says_is_kept_when_an_older_list_takes_its_place(
    ledger_fixture: LedgerFixture, write: Callable[..., None], is_reverse: bool
) -> None:
    old = event(REFUND, 5)
    write("refunds", old, "milk", product="milk")
    earliest = event(REFUND, 1, lines=(line("milk", refunded=True),))
    between = event(REFUND, 3, lines=(line("milk"),))
    for each in [between, earliest] if is_reverse else [earliest, between]:
        ledger_fixture.apply_each(each)
    assert refunds(ledger_fixture) == [("milk", earliest.event_id, None)], "the newest, whose list is not stored, refunds it"
    newest = event(REFUND, 6, lines=(line("milk"),))
    ledger_fixture.apply_each(newest)
    assert refunds(ledger_fixture) == [("milk", earliest.event_id, newest.event_id)]


def test_an_old_worker_that_overwrites_a_row_with_an_older_event_is_heard(
    ledger_fixture: LedgerFixture, write: Callable[..., None]
) -> None:
    known, old = event(REFUND, 5, lines=(line("milk", refunded=True),)), event(REFUND, 1)
    ledger_fixture.apply_each(known)
    its = metadata.tables["refunds"]
    with ledger_fixture.ledger.begin() as connection:
        connection.execute(
            its.update().values(event_id=old.event_id, occurred_at=old.occurred_at, first_news=ordering_key(old))
        )
    ledger_fixture.apply_each(event(REFUND, 6, lines=(line("milk", refunded=True),)))
    row = ledger_fixture.row("refunds")
    assert (row["event_id"], row["occurred_at"]) == (old.event_id, at(1))


def test_old_replacements_keep_their_places_and_the_current_one(
    ledger_fixture: LedgerFixture, write: Callable[..., None]
) -> None:
    one, two, three = (event(REPLACEMENT, minute) for minute in (1, 2, 3))
    write("replacements", one, "tea", substitute="oat", product="tea", last_news=ordering_key(three))
    write("replacements", two, "tea", substitute="soy", product="tea", last_news=ordering_key(two), superseded_by="oat")
    ledger_fixture.apply_each(event(REPLACEMENT, 0, lines=(replaced("milk", "rice"), line("tea"))))
    rows = {row["substitute"]: (row["event_id"], row["superseded_by"]) for row in ledger_fixture.rows("replacements")}
    assert rows.pop("rice")[1] is None
    assert rows == {"oat": (one.event_id, None), "soy": (two.event_id, "oat")}
    last = event(REPLACEMENT, 4, lines=(replaced("tea", "soy"),))
    ledger_fixture.apply_each(last)
    rows = {row["substitute"]: (row["event_id"], row["superseded_by"]) for row in ledger_fixture.rows("replacements")}
    assert (rows["oat"], rows["soy"]) == ((one.event_id, "soy"), (two.event_id, None))


def test_a_replay_of_an_old_event_changes_nothing(ledger_fixture: LedgerFixture, write: Callable[..., None]) -> None:
    old = event(REFUND, 1, lines=(line("milk", refunded=True), line("eggs")))
    write("refunds", old, "milk", product="milk")
    before = ledger_fixture.rows("refunds")
    ledger_fixture.apply_each(old, old)
    assert ledger_fixture.rows("refunds") == before


def test_an_order_with_lists_without_end_keeps_its_rows_and_the_newest_lists(
    ledger_fixture: LedgerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.ledger.item_lists.MAX_LISTS", 10)
    for minute in range(40):
        lines = [line(name, refunded=number <= minute // 4) for number, name in enumerate("abcdef")]
        ledger_fixture.apply("refunds", event(Kind.ORDER_ITEM_REFUND, minute, lines=tuple(reversed(lines))))
    rows = ledger_fixture.rows("refunds")
    assert [row["line"] for row in rows] == list("abcdef")
    assert [row["occurred_at"] for row in rows] == [at(4 * number) for number in range(6)]
    assert {row["withdrawn_by"] for row in rows} == {None}
    assert len([row for row in ledger_fixture.rows("item_lists") if not row["identity"].startswith("row:")]) <= 10
