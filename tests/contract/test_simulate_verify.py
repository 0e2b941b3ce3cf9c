"""`curbside simulate --verify` finds each kind of wrong row, on SQLite and PostgreSQL, and names it.

A plan's bodies are handled without processes, in the order of the posts, as if all had been acknowledged; then one thing is
spoiled.
"""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Table, delete, select, update

from deploy.simulator.client import Attempt
from deploy.simulator.plan import make_plan
from schemas.failures import Reason
from tests.support.ledger_fixture import LedgerFixture
from tests.support.posted_plan import ODD, PLAN, PostedPlan, failure
from workers.ledger.tables import customer_mia_alerts, late_deliveries, order_events, orders, refunds, replacements


@pytest.fixture
def trade(ledger_fixture: LedgerFixture) -> PostedPlan:
    return PostedPlan(ledger_fixture, PLAN)


def test_a_correct_ledger_has_no_difference(trade: PostedPlan) -> None:
    comparison = trade.comparison()
    assert comparison.differences == []
    assert comparison.orders == len(trade.received.acknowledged) >= 80
    for table in (refunds, replacements, late_deliveries, customer_mia_alerts):
        assert trade.ledger_fixture.rows(table.name), f"{table.name}: nothing to compare"
    assert any(row["superseded_by"] for row in trade.ledger_fixture.rows("replacements"))
    assert {row["closed_at"] is None for row in trade.ledger_fixture.rows("customer_mia_alerts")} == {True, False}


def test_a_correct_ledger_of_odd_orders_has_no_difference(ledger_fixture: LedgerFixture) -> None:
    plan = make_plan(replace(ODD, seed=4, orders=150))
    trade = PostedPlan(ledger_fixture, plan)
    assert trade.comparison().differences == []
    assert any(row["withdrawn_by"] for row in trade.ledger_fixture.rows("refunds"))
    assert any(row["withdrawn_by"] for row in trade.ledger_fixture.rows("replacements"))
    assert {row["has_time"] for row in trade.ledger_fixture.rows("order_events")} == {True, False}


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (orders, "order"),
        (order_events, "history: "),
        (refunds, "refund "),
        (replacements, "replacement "),
        (late_deliveries, "late delivery"),
        (customer_mia_alerts, "customer MIA"),
    ],
    ids=lambda value: value.name if isinstance(value, Table) else "",
)
def test_a_missing_row_is_reported(trade: PostedPlan, table: Table, what: str) -> None:
    order_id = trade.spoil(table)
    found = trade.comparison().differences
    assert {each.order_id for each in found} == {order_id}
    assert any(each.what.startswith(what) and each.expected != each.found for each in found)


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        (orders, "status", "picking somewhere"),
        (orders, "status_at", NOON),
        (orders, "promised_at", NOON),
        (orders, "fulfillment_type", "balloon"),
        (refunds, "quantity", "0.001"),
        (refunds, "occurred_at", NOON),
        (replacements, "superseded_by", "another"),
        (replacements, "substitute_quantity", "77"),
        (late_deliveries, "minutes_late", 3),
        (late_deliveries, "promised_at", NOON),
    ],
    ids=lambda value: value.name if isinstance(value, Table) else str(value),
)
def test_a_wrong_value_is_reported(trade: PostedPlan, table: Table, column: str, value: object) -> None:
    order_id = trade.spoil(table, **{column: Decimal(str(value)) if "quantity" in column else value})
    difference = trade.the_difference()
    assert difference.order_id == order_id
    assert difference.what.endswith(f": {column}")
    assert difference.found == (f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value))


def test_a_duplicated_effect_is_reported(trade: PostedPlan) -> None:
    doubled = {
        trade.invent(order_events, identity="another"): "history: ",
        trade.invent(refunds, line="another"): "refund ",
        trade.invent(replacements, substitute="another"): "replacement ",
        trade.invent(customer_mia_alerts, identity="another", closed_at=NOON): "customer MIA",
    }
    found = trade.comparison().differences
    assert {each.order_id for each in found} == doubled.keys()
    for order_id, what in doubled.items():
        assert any(each.order_id == order_id and each.what.startswith(what) for each in found)


def test_an_alert_that_was_never_closed_is_reported(trade: PostedPlan) -> None:
    with trade.ledger_fixture.ledger.begin() as connection:
        its = customer_mia_alerts.c
        closed = connection.execute(select(its.order_id).where(its.closed_at.is_not(None))).scalars().first()
        connection.execute(update(customer_mia_alerts).where(its.order_id == closed).values(closed_at=None))
    difference = trade.the_difference()
    assert difference.order_id == closed
    assert difference.what.startswith("customer MIA ")
    assert difference.what.endswith(": closed_at")


def test_a_bad_body_without_a_failure_record_is_reported(trade: PostedPlan) -> None:
    event_id, order_id = next(iter(trade.received.bad.items()))
    del trade.failures[event_id]
    assert trade.the_difference()[:3] == (order_id, f"bad body {event_id[0]}-0", "on record as undecodable")


def test_a_good_event_that_failed_is_reported(trade: PostedPlan) -> None:
    event_id, order_id = next(iter(trade.received.good.items()))
    trade.failures[event_id].append(failure(event_id, "refunds", Reason.HANDLER_ERROR))
    assert trade.the_difference() == (order_id, f"event {event_id[0]}-0", "applied", "failed in refunds: handler_error")


def test_an_accepted_forged_post_is_reported(trade: PostedPlan) -> None:
    order_id, other = list(trade.received.forged)[:2]
    trade.invent(orders, order_id=order_id)
    for index, result in enumerate(trade.results):
        if other in result.post.order_ids:
            trade.results[index] = replace(result, attempts=[Attempt(200, (1, 0), 0.0)])
    found = trade.comparison().differences
    assert {(each.order_id, each.what) for each in found} >= {(order_id, "bad signature"), (other, "bad signature")}


def test_an_order_with_an_unanswered_post_is_not_compared(trade: PostedPlan) -> None:
    index = next(index for index, result in enumerate(trade.results) if result.post.kind == "picking")
    order_id, index_of_event = trade.results[index].post.order_ids[0], trade.results[index].post.event_index
    for index, result in enumerate(trade.results):
        if result.post.event_index == index_of_event:
            trade.results[index] = replace(result, attempts=[Attempt(None, None, 5.0)])
    with trade.ledger_fixture.ledger.begin() as connection:
        connection.execute(delete(order_events).where(order_events.c.order_id == order_id))
    comparison = trade.comparison()
    assert (comparison.unclear, comparison.differences) == (1, [])
