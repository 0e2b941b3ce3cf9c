"""`curbside simulate --verify` finds each fault that is planted in a correct ledger: in alerts, and in what effects state."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Executable, Table, delete, func, insert, select, update

from tests.support.ledger_fixture import LedgerFixture
from tests.support.posted_plan import PLAN, PostedPlan
from workers.ledger.tables import (
    customer_mia_alerts,
    late_deliveries,
    order_events,
    orders,
    outbox,
    refunds,
    replacements,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EFFECTS = (order_events, refunds, replacements, late_deliveries, customer_mia_alerts)


@pytest.fixture
def trade(ledger_fixture: LedgerFixture) -> PostedPlan:
    return PostedPlan(ledger_fixture, PLAN)


def every_second_alert() -> Executable:
    its, other = outbox.c, outbox.alias().c
    place = select(func.count()).where(other.idempotency_key < its.idempotency_key).scalar_subquery()
    return delete(outbox).where(place % 2 == 1)


PLANTED_ALERTS: dict[str, tuple[Executable, str, str, str]] = {
    "the outbox is empty": (delete(outbox), "alert ", "sent", "-"),
    "every second alert is missing": (every_second_alert(), "alert ", "sent", "-"),
    "every alert was dropped": (update(outbox).values(dropped=True), "alert ", "sent", "dropped"),
    "no alert was sent": (update(outbox).values(sent_at=None), "alert ", "sent", "waiting"),
    "no alert can be sent": (
        update(outbox).values(sent_at=None, attempts=9, last_error="refused"), "alert ", "sent", "failing: refused",
    ),
    "alerts went elsewhere": (update(outbox).values(channel="webhook"), "alert ", "sent", "-"),
    "alerts under another key": (
        update(outbox).values(idempotency_key=outbox.c.idempotency_key + "x"), "alert ", "-", "a row",
    ),
    "alerts of another topic": (update(outbox).values(topic="late"), "alert ", "customer_mia", "late"),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED_ALERTS)
def test_a_fault_in_the_outbox_is_reported(trade: PostedPlan, planted: str) -> None:
    statement, what, expected, found = PLANTED_ALERTS[planted]
    trade.execute(statement)
    differences = trade.comparison().differences
    assert any(each.what.startswith(what) and each[2:] == (expected, found) for each in differences), differences


def test_an_alert_that_its_events_do_not_ask_for_is_reported(trade: PostedPlan) -> None:
    with trade.ledger_fixture.ledger.begin() as connection:
        row = dict(connection.execute(select(outbox).limit(1)).mappings().one())
        topic, provider, order_id, _ = row["idempotency_key"].split(":")
        key = f"{topic}:{provider}:{order_id}:0123456789012345678901"
        connection.execute(insert(outbox).values(row | {"idempotency_key": key}))
    assert trade.the_difference() == (order_id, f"alert {key} (log)", "-", "a row")


def test_an_alert_that_is_too_old_must_be_recorded_and_not_sent(trade: PostedPlan) -> None:
    limit = timedelta(hours=2)
    found = trade.comparison(alert_max_age=limit).differences
    assert {each[2:] for each in found} == {("not sent: too old", "sent")}
    trade.execute(update(outbox).values(dropped=True, last_error="not sent: 9 days old when handled, ALERT_MAX_AGE is 2h"))
    assert trade.comparison(alert_max_age=limit).differences == []
    assert {each[2:] for each in trade.comparison().differences} == {("sent", "not sent: too old")}


def test_an_alert_that_says_another_age_is_reported(trade: PostedPlan) -> None:
    trade.execute(update(outbox).values(created_at=NOON + timedelta(days=400)))
    assert {each.what.rpartition(": ")[2] for each in trade.comparison().differences} == {"age_seconds"}


def test_an_alert_about_another_order_than_its_key_says_is_reported(trade: PostedPlan) -> None:
    trade.execute(update(outbox).values(payload=func.replace(outbox.c.payload, "order_id", "order-id")))
    assert {each.what.rpartition(": ")[2] for each in trade.comparison().differences} == {"order_id"}


@pytest.mark.parametrize("table", EFFECTS, ids=str)
def test_an_effect_that_names_another_event_or_time_of_receipt_is_reported(trade: PostedPlan, table: Table) -> None:
    for column, value in (("event_id", "1-0"), ("received_at", NOON), ("occurred_at", NOON - timedelta(days=9))):
        order_id = trade.spoil(table, **{column: value})
        assert any(each.order_id == order_id and each.what.endswith(f": {column}") for each in trade.comparison().differences)


@pytest.mark.parametrize("table", EFFECTS, ids=str)
def test_an_effect_on_an_order_that_its_event_does_not_name_is_reported(trade: PostedPlan, table: Table) -> None:
    trade.invent(table, order_id="of-nobody")
    trade.invent(table, order_id="of-nobody-either", event_id="1-0")
    difference = trade.the_difference()
    assert difference == ("of-nobody", table.name, "nothing: no event names the order", "a row")


def test_an_effect_on_an_order_of_the_run_that_no_event_names_is_reported(trade: PostedPlan) -> None:
    (unused, *_) = sorted(set(PLAN.id_space) - trade.received.acknowledged.keys())
    for table in (orders, refunds):
        trade.invent(table, order_id=unused, **({} if table is orders else {"event_id": "1-0"}))
    found = trade.comparison().differences
    assert {(each.order_id, each.what) for each in found} == {(unused, "orders"), (unused, "refunds")}


def test_a_refund_that_was_moved_to_another_order_is_reported_for_both(trade: PostedPlan) -> None:
    other = next(row["order_id"] for row in reversed(trade.ledger_fixture.rows("orders")) if row["provider"] == "instacart")
    order_id = trade.spoil(refunds, order_id=other)
    found = trade.comparison().differences
    assert {each.order_id for each in found} == {order_id, other}
    assert {each.what.split()[0] for each in found} == {"refund"}


def shifted(table: Table, *columns: str) -> Callable[[], Sequence[Executable]]:
    return lambda: [
        update(table).where(table.c[column].is_not(None)).values({column: NOON + timedelta(seconds=7)}) for column in columns
    ]


def renamed(table: Table, *columns: str) -> Callable[[], Sequence[Executable]]:
    return lambda: [update(table).values({column: "?"}) for column in columns]


@pytest.mark.parametrize(
    ("plant", "columns"),
    [
        (renamed(refunds, "product_name", "unit", "product"), ("product_name", "unit", "product")),
        (
            renamed(replacements, "product_name", "unit", "substitute_name"),
            ("product_name", "unit", "substitute_name"),
        ),
        (
            shifted(late_deliveries, *(f"{which}_window_{end}_at" for which in ("old", "new") for end in ("starts", "ends"))),
            tuple(f"{which}_window_{end}_at" for which in ("old", "new") for end in ("starts", "ends")),
        ),
        (shifted(customer_mia_alerts, "first_reported_at"), ("first_reported_at",)),
        (shifted(customer_mia_alerts, "last_reported_at"), ("last_reported_at",)),
        (shifted(customer_mia_alerts, "closed_at"), ("closed_at",)),
        (renamed(customer_mia_alerts, "closed_by"), ("closed_by",)),
        (renamed(order_events, "kind", "name", "status"), ("kind", "name", "status")),
        (shifted(order_events, "expected_at"), ("expected_at",)),
        (renamed(order_events, "provider_event_id"), ("provider_event_id",)),
        (shifted(orders, "first_event_at", "last_event_at"), ("first_event_at", "last_event_at")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_statement_is_reported(
    trade: PostedPlan, plant: Callable[[], Sequence[Executable]], columns: tuple[str, ...]
) -> None:
    trade.execute(*plant())
    found = {each.what.rpartition(": ")[2] for each in trade.comparison().differences if ": " in each.what}
    assert found == set(columns)


def test_a_history_row_under_another_identity_is_reported_where_the_provider_gives_an_id(trade: PostedPlan) -> None:
    order_id = next(row["order_id"] for row in trade.ledger_fixture.rows("order_events") if row["provider_event_id"])
    trade.execute(
        update(order_events).where(order_events.c.order_id == order_id).values(identity=order_events.c.identity + "x")
    )
    found = trade.comparison().differences
    assert {each.order_id for each in found} == {order_id}
    assert {each.what.rpartition(": ")[2] for each in found} == {"identity"}


def test_a_second_row_of_history_for_an_event_is_reported(trade: PostedPlan) -> None:
    order_id = trade.invent(order_events, identity="another")
    found = trade.comparison().differences
    assert {each.order_id for each in found} == {order_id}
    assert any(each.what.startswith("history: ") and each[2:] == ("-", "a row") for each in found)
