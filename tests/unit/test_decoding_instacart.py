"""All 12 messages of Instacart Connect, in both dialects and under every name, become the right `Event`."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.events import Kind, Line, Provider, Window
from tests.payloads import ENVELOPE_ORDER, FLAT_ORDER, recorded
from tests.unit.instacart_bodies import RECEIVED, envelope, flat, read

LIFE = {
    "order_created": "brand_new",
    "rescheduled": "rescheduled",
    "acknowledged": "acknowledged",
    "picking": "picking",
    "order_item_replacement": None,
    "order_item_refund": None,
    "staging": "staging",
    "delivering": "delivering",
    "late_delivery": "delivering",
    "customer_mia": "delivering",
    "canceled": "canceled",
    "delivered": "delivered",
}
"""The 12 messages in the order of the recorded life, with the status each states."""
STATES_NO_STATUS_BY_NAME = {"order_item_replacement", "order_item_refund", "late_delivery", "customer_mia"}
ALIASES = {"brand_new": "order_created", "staged": "staging", "customer_missing": "customer_mia"}


@pytest.mark.parametrize("name", LIFE)
def test_a_recorded_flat_body_is_read(name: str) -> None:
    event = read(recorded(f"instacart/flat/{name}"))
    assert (event.provider, event.kind, event.name) == (Provider.INSTACART, Kind(name), f"fulfillment.{name}")
    assert event.order_ids == (FLAT_ORDER,)
    assert event.status == LIFE[name]
    assert event.event_id == RECEIVED
    assert event.provider_event_id is None
    assert event.occurred_at.date() == datetime(2024, 11, 22, tzinfo=UTC).date()


@pytest.mark.parametrize("name", LIFE)
def test_a_recorded_envelope_body_is_read(name: str) -> None:
    event = read(recorded(f"instacart/envelope/{name}"))
    assert (event.provider, event.kind) == (Provider.INSTACART, Kind(name))
    assert event.order_ids == (ENVELOPE_ORDER,)
    assert event.status == (None if name in STATES_NO_STATUS_BY_NAME else LIFE[name])
    assert event.fulfillment_type == "delivery"
    assert event.provider_event_id == str(1201895966044343904 + 7 * list(LIFE).index(name))


@pytest.mark.parametrize("dialect", ["flat", "envelope"])
def test_the_recorded_events_of_an_order_are_in_order(dialect: str) -> None:
    times = [read(recorded(f"instacart/{dialect}/{name}")).occurred_at for name in LIFE]
    assert times == sorted(times)
    assert all(time.tzinfo is UTC for time in times)


@pytest.mark.parametrize("prefix", ["fulfillment.", ""])
@pytest.mark.parametrize("message", [*LIFE, *ALIASES])
def test_every_event_name_has_the_same_meaning_with_and_without_prefix_in_both_dialects(message: str, prefix: str) -> None:
    kind = Kind(ALIASES.get(message, message))
    for body in (flat(prefix + message), envelope(prefix + message)):
        event = read(body)
        assert (event.kind, event.name) == (kind, prefix + message)
        assert event.status == (None if kind in STATES_NO_STATUS_BY_NAME else LIFE[kind])


@pytest.mark.parametrize("name", ["fulfillment.tip_adjustment", "rating_updated", "Picking", "fulfillment.", "other.picking"])
def test_an_unknown_event_name_is_kept_and_not_refused(name: str) -> None:
    for body in (flat(name, status=" Picking"), envelope(name, status=" Picking")):
        event = read(body)
        assert (event.kind, event.name, event.status) == (Kind.UNRECOGNISED, name, "picking")


@pytest.mark.parametrize("status", ["refunded", "at_store", 7, ["picking"], "", "found"])
def test_only_a_published_status_is_an_orders(status: object) -> None:
    for name in ("tip_adjustment", "late_delivery", "customer_mia"):
        assert read(flat(name, status=status)).status is read(envelope(name, status=status)).status is None


def test_an_event_of_items_states_no_status_of_the_order() -> None:
    for name in ("order_item_refund", "order_item_replacement"):
        assert read(flat(name, status="picking")).status is read(envelope(name, status="canceled")).status is None


def test_the_status_of_a_lifecycle_event_comes_from_its_name() -> None:
    assert read(flat("fulfillment.canceled", status="picking")).status == "canceled"


def test_the_order_may_be_named_in_the_summary_only() -> None:
    assert read({"event": "picking", "order": {"id": "o-1"}}).order_ids == ("o-1",)
    assert read({"event": "picking", "order_id": "", "order": {"id": "o-1"}}).order_ids == ("o-1",)
    assert read({"event_name": "picking", "order_id": "o-1"}).order_ids == ("o-1",)


def test_unknown_fields_are_normal() -> None:
    assert read(flat(retailer_id=7, tip={"amount": 1.5}, x=[[]])).kind is Kind.PICKING
    assert read(envelope(retailer_id=7, store_location=None, x=[[]])).kind is Kind.PICKING


def test_fields_that_nothing_depends_on_never_fail_an_event() -> None:
    body = envelope("late_delivery", status=7, fulfillment_type=[], delivery_window="soon", new_window={"starts_at": 5})
    event = read(body)
    assert (event.status, event.fulfillment_type, event.window, event.new_window) == (None, None, None, None)
    assert read(flat(order={"fulfillment_type": 3, "estimated_delivery_at": "noon"})).promised_at is None


def test_an_event_without_a_time_gets_its_time_of_receipt() -> None:
    event = read({"event": "picking", "order_id": "o"})
    assert event.occurred_at == event.received_at == datetime(2024, 11, 22, 18, 26, 40, 123000, UTC)


def test_the_estimate_of_a_flat_late_delivery_is_read() -> None:
    event = read(recorded("instacart/flat/late_delivery"))
    assert event.promised_at == datetime(2024, 11, 22, 18, 25, tzinfo=UTC)
    assert event.fulfillment_type == "delivery"


def test_windows_without_a_zone_are_in_the_stores_time_zone() -> None:
    event = read(recorded("instacart/envelope/late_delivery"), "America/Los_Angeles")
    assert event.window == Window(datetime(2024, 11, 23, 1, tzinfo=UTC), datetime(2024, 11, 23, 2, tzinfo=UTC))
    assert event.new_window == Window(datetime(2024, 11, 23, 2, tzinfo=UTC), datetime(2024, 11, 23, 2, 25, tzinfo=UTC))
    assert event.promised_at == event.new_window.ends_at
    assert event.occurred_at == datetime(2024, 11, 22, 17, 31, 45, tzinfo=UTC), "its own time carries its zone"


def test_a_window_of_two_hours_takes_three_over_the_end_of_daylight_saving() -> None:
    window = {"starts_at": "2024-11-03 00:30:00", "ends_at": "2024-11-03 02:30:00"}
    read_window = read(envelope(new_window=window), "America/New_York").new_window
    assert read_window is not None
    assert read_window.starts_at is not None
    assert read_window.ends_at is not None
    assert read_window.ends_at - read_window.starts_at == timedelta(hours=3)


def test_a_window_that_ends_before_it_starts_is_kept_as_sent() -> None:
    event = read(envelope(delivery_window={"starts_at": "2024-11-22 17:00:00", "ends_at": "2024-11-22 09:00:00"}))
    assert event.window == Window(datetime(2024, 11, 22, 17, tzinfo=UTC), datetime(2024, 11, 22, 9, tzinfo=UTC))


@pytest.mark.parametrize("half", ["starts_at", "ends_at"])
def test_a_window_with_one_end_still_gives_a_promised_time(half: str) -> None:
    assert read(envelope(new_window={half: "2024-11-22 17:00:00"})).promised_at == datetime(2024, 11, 22, 17, tzinfo=UTC)


def test_an_empty_event_id_is_no_event_id() -> None:
    assert read(envelope() | {"event_id": ""}).provider_event_id is None


def test_nul_never_reaches_the_ledger() -> None:
    event = read(envelope("pick\0ing", order_id="o\0", order_items=[{"line_num": "\0", "name": "\0", "qty_unit": "\0"}]))
    assert (event.name, event.order_ids) == ("pick\ufffding", ("o\ufffd",))
    assert event.lines == (Line("\ufffd", "\ufffd", unit="\ufffd", number="\ufffd"),)
