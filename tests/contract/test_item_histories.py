"""Refunds and replacements of whole item-list histories: the same rows whatever the order of lists, lines, batches and arrival."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.events import Effect, Event
from tests.contract.item_histories import (
    History,
    Values,
    expected_refunds,
    expected_replacements,
    histories,
    most_and_last,
)
from tests.support.ledger_fixture import LedgerFixture, without

TABLES = {Effect.REFUND: "refunds", Effect.REPLACEMENT: "replacements"}
MODELS: dict[Effect, Callable[[History, Sequence[Event]], list[Values]]] = {
    Effect.REFUND: expected_refunds,
    Effect.REPLACEMENT: expected_replacements,
}
EXAMPLES = {"sqlite": 80, "postgresql": 25}
_orders = (f"order-{number}" for number in itertools.count())


def runs(ledger_fixture: LedgerFixture) -> settings:
    """So many examples as this database does in some seconds."""
    return settings(
        max_examples=EXAMPLES[ledger_fixture.ledger.engine.dialect.name],
        deadline=None,
        database=None,
        phases=[Phase.generate],  # to shrink a history, a transaction at a time, would take minutes
        suppress_health_check=list(HealthCheck),
    )


def shuffled(history: History, data: st.DataObject) -> History:
    """The same lists, each with its lines in another order."""
    return history._replace(
        lists=tuple(each._replace(states=tuple(data.draw(st.permutations(each.states)))) for each in history.lists)
    )


def apply_shuffled(ledger_fixture: LedgerFixture, table: str, events: Sequence[Event], data: st.DataObject) -> None:
    """In any order, in batches of any size, some events twice."""
    again = data.draw(st.lists(st.sampled_from(events), max_size=2))
    left = data.draw(st.permutations([*events, *again]))
    while left:
        size = data.draw(st.integers(1, len(left)))
        ledger_fixture.apply(table, *left[:size])
        left = left[size:]


def applied_both_ways(
    ledger_fixture: LedgerFixture, effect: Effect, history: History, data: st.DataObject
) -> tuple[list[Event], list[dict[str, Any]]]:
    """The events and rows of a history that is applied in order. Shuffled in every way, it gives the same rows."""
    table, one, other = TABLES[effect], next(_orders), next(_orders)
    events, others = history.events(one, effect), shuffled(history, data).events(other, effect)
    for event in events:
        ledger_fixture.apply(table, event)
    apply_shuffled(ledger_fixture, table, others, data)
    rows = ledger_fixture.rows(table, one)
    assert without(ledger_fixture.rows(table, other), "order_id") == without(rows, "order_id")
    return events, rows


def comparable(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> list[list[tuple[str, str]]]:
    return sorted([(name, str(row[name])) for name in columns] for row in rows)


@pytest.mark.parametrize("effect", Effect)
def test_any_order_and_batching_of_a_history_gives_the_rows_of_its_true_lines(
    ledger_fixture: LedgerFixture, effect: Effect
) -> None:
    @runs(ledger_fixture)
    @given(history=histories(), data=st.data())
    def check(history: History, data: st.DataObject) -> None:
        events, rows = applied_both_ways(ledger_fixture, effect, history, data)
        if expected := MODELS[effect](history, events):
            assert comparable(rows, [*expected[0]]) == comparable(expected, [*expected[0]])
        else:
            assert rows == []

    check()


@pytest.mark.parametrize("effect", Effect)
def test_lines_that_nothing_tells_apart_are_counted_right_in_any_order(ledger_fixture: LedgerFixture, effect: Effect) -> None:
    @runs(ledger_fixture)
    @given(history=histories(are_alike=True), data=st.data())
    def check(history: History, data: st.DataObject) -> None:
        events, rows = applied_both_ways(ledger_fixture, effect, history, data)
        shown = Counter(row["product_name"] for row in rows if row.get("superseded_by") is None)
        standing = Counter(
            row["product_name"] for row in rows if row["withdrawn_by"] is None and row.get("superseded_by") is None
        )
        for group in {line.group for line in history.lines}:
            assert (shown[group], standing[group]) == most_and_last(history, group, events)

    check()
