"""The timeline: how an order stands now, by the provider's time, and every line of how it came there."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest
from msgspec.structs import replace

from schemas.decoding import decode
from schemas.events import Event, Kind, Provider
from tests.contract.handler_events import ORDER, at, event
from tests.support.ledger_fixture import LedgerFixture

LONGEST = 255


def flat(**fields: object) -> Event:
    """A flat body, decoded as the workers do in a shop in Amsterdam."""
    return decode("instacart", orjson.dumps(fields), "1782907200123-7", ZoneInfo("Europe/Amsterdam"))


def test_an_order_has_its_newest_status(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(
        event(Kind.DELIVERING, 3), event(Kind.ORDER_CREATED, 0, promised_at=at(60)), event(Kind.PICKING, 1)
    )
    row = ledger_fixture.row("orders")
    assert (row["status"], row["status_at"]) == ("delivering", at(3))
    assert (row["first_event_at"], row["last_event_at"]) == (at(0), at(3))
    assert (row["promised_at"], row["expected_at"]) == (at(60), at(60))


def test_a_revert_to_an_earlier_status_is_applied(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(Kind.PICKING, 1), event(Kind.DELIVERING, 2), event(Kind.PICKING, 3))
    assert ledger_fixture.row("orders")["status"] == "picking"
    assert [row["name"] for row in ledger_fixture.rows("order_events")].count("fulfillment.picking") == 2


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "in reverse"])
def test_of_two_events_at_one_time_the_later_status_wins(ledger_fixture: LedgerFixture, reverse: bool) -> None:
    story = [event(Kind.PICKING, 1), event(Kind.STAGING, 1)]
    ledger_fixture.apply_each(*(story[::-1] if reverse else story))
    assert ledger_fixture.row("orders")["status"] == "staging"


def test_an_event_without_a_status_changes_no_status(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(
        event(Kind.PICKING, 1), event(Kind.ORDER_ITEM_REFUND, 2), event(Kind.UNRECOGNISED, 3, name="tip_adjustment")
    )
    row = ledger_fixture.row("orders")
    assert (row["status"], row["status_at"], row["last_event_at"]) == ("picking", at(1), at(3))
    assert "tip_adjustment" in [row["name"] for row in ledger_fixture.rows("order_events")]


def test_an_order_created_by_another_handler_gets_its_times_from_the_timeline(ledger_fixture: LedgerFixture) -> None:
    report = event(Kind.CUSTOMER_MIA, 1)
    ledger_fixture.apply("customer_mia", report)
    assert ledger_fixture.row("orders")["first_event_at"] is None
    ledger_fixture.apply("timeline", report)
    assert (ledger_fixture.row("orders")["first_event_at"], ledger_fixture.row("orders")["last_event_at"]) == (at(1), at(1))


def test_a_delivery_is_in_the_history_of_each_order_it_names(ledger_fixture: LedgerFixture) -> None:
    delivered = event(Kind.DELIVERED, 1, order_ids=("a", "b"), provider=Provider.AFOSTO)
    ledger_fixture.apply_each(delivered)
    assert [(row["order_id"], row["status"]) for row in ledger_fixture.rows("orders")] == [
        ("a", "delivered"),
        ("b", "delivered"),
    ]
    assert [row["event_id"] for row in ledger_fixture.rows("order_events")] == [delivered.event_id] * 2


def test_the_same_order_id_of_two_providers_is_two_orders(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(
        event(Kind.DELIVERED, 1), event(Kind.IN_TRANSIT, 1, provider=Provider.AFOSTO, status="in_transit")
    )
    assert [(row["provider"], row["status"]) for row in ledger_fixture.rows("orders")] == [
        ("afosto", "in_transit"),
        ("instacart", "delivered"),
    ]


def test_the_provider_s_time_and_ours_are_kept_apart_and_in_utc(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(flat(event="picking", order_id="x", timestamp="2026-07-01T12:00:00.123456+02:00"))
    row = ledger_fixture.row("order_events")
    assert row["occurred_at"] == datetime(2026, 7, 1, 10, 0, 0, 123456, tzinfo=UTC)
    assert row["received_at"] == datetime(2026, 7, 1, 12, 0, 0, 123000, tzinfo=UTC)
    assert row["occurred_at"].utcoffset() == timedelta(0)


def test_a_time_of_another_zone_is_the_same_moment(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(replace(event(Kind.PICKING, 1), occurred_at=at(1).astimezone(ZoneInfo("Asia/Tokyo"))))
    assert ledger_fixture.row("orders")["status_at"] == at(1)


def test_a_time_without_a_zone_is_in_the_store_s_time_zone(ledger_fixture: LedgerFixture) -> None:
    order = {"estimated_delivery_at": "2026-07-01 18:00:00"}
    ledger_fixture.apply_each(flat(event="order_created", order_id="x", timestamp="2026-07-01 12:00:00", order=order))
    row = ledger_fixture.row("orders")
    assert row["status_at"] == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert row["promised_at"] == datetime(2026, 7, 1, 16, tzinfo=UTC)


@pytest.mark.parametrize("time", ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-12:00"])
def test_the_first_and_the_last_of_times_are_kept(ledger_fixture: LedgerFixture, time: str) -> None:
    happened = flat(event="picking", order_id="x", timestamp=time)
    ledger_fixture.apply_each(happened)
    assert ledger_fixture.row("orders")["status_at"] == happened.occurred_at


def test_an_event_without_a_time_gets_its_time_of_receipt(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(flat(event="picking", order_id="x"))
    assert ledger_fixture.row("orders")["status_at"] == datetime(2026, 7, 1, 12, 0, 0, 123000, tzinfo=UTC)


ODD_NAMES = {
    "nul": "a\0b",
    "longest": "x" * LONGEST,
    "longest emoji": "🛒" * LONGEST,
    "quotes": "a'b\"c\\d;--%s:x{}",
    "controls": "a\n\t\x01\x7fb",
    "right to left": "\u202eabc",
}


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
def test_no_text_breaks_the_ledger(ledger_fixture: LedgerFixture, name: str) -> None:
    item = {"product_id": name, "name": name * 40, "refunded": True, "quantity": 1}
    ledger_fixture.apply_each(
        flat(event="order_created", order_id=name, timestamp="2026-07-01T12:00:00Z", order={"fulfillment_type": name * 40}),
        flat(event="customer_mia", order_id=name, timestamp="2026-07-01T12:00:01Z"),
        flat(event="late_delivery", order_id=name, timestamp="2026-07-01T12:00:02Z", status=name),
        flat(event=name, order_id=name, timestamp="2026-07-01T12:00:03Z", status=name * 40),
        flat(event="order_item_refund", order_id=name, items=[item]),
    )
    clean = name.replace("\0", "\ufffd")
    assert ledger_fixture.row("orders")["order_id"] == clean
    assert ledger_fixture.row("orders")["fulfillment_type"] == clean * 40
    assert (ledger_fixture.row("refunds")["line"], ledger_fixture.row("refunds")["product_name"]) == (clean, clean * 40)
    assert len(ledger_fixture.alerts()) == 2


def test_a_large_batch_costs_as_many_statements_as_a_small_one(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(Kind.ORDER_CREATED, 0))
    counts = []
    kinds = (Kind.ORDER_CREATED, Kind.DELIVERED)
    for size in (1, 100):
        batch = [event(kind, n, f"{size}-{n}", promised_at=at(60)) for n in range(size) for kind in kinds]
        with ledger_fixture.recording_statements() as statements:
            ledger_fixture.apply("timeline", *batch)
        counts.append(len([each for each in statements if not each.startswith("BEGIN")]))
    assert counts == [4, 4]


def test_a_batch_that_promises_nothing_and_ends_nothing_costs_two_statements(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(Kind.ORDER_CREATED, 0))
    with ledger_fixture.recording_statements() as statements:
        ledger_fixture.apply("timeline", *(event(Kind.PICKING, n, f"order-{n % 10}") for n in range(100)))
    assert len([each for each in statements if not each.startswith("BEGIN")]) == 2
    assert ORDER in [row["order_id"] for row in ledger_fixture.rows("orders")]
