"""All 5 events of Afosto become the right `Event`, and what is inside `data` never fails one."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from schemas.decoding import decode
from schemas.events import Event, Kind, Provider
from tests.payloads import AFOSTO_DELIVERY, AFOSTO_ORDER, AFOSTO_OTHER_ORDER, recorded

RECEIVED = "1714053601234-0"
EVENTS = [
    ("order_opened", (AFOSTO_ORDER,), "open"),
    ("order_updated", (AFOSTO_ORDER,), "processing"),
    ("in_transit", (AFOSTO_ORDER, AFOSTO_OTHER_ORDER), "in_transit"),
    ("delivered", (AFOSTO_DELIVERY,), "delivered"),
    ("order_closed", (AFOSTO_ORDER,), "closed"),
]


def read(body: dict[str, Any] | bytes) -> Event:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return decode("afosto", raw, RECEIVED, ZoneInfo("Europe/Amsterdam"))


def order(**fields: Any) -> dict[str, Any]:
    return {"event": "ORDER_UPDATED", "entity_type": "order", "entity_id": "ord_1", "message_id": "msg_1"} | fields


def delivery(parcels: Any) -> dict[str, Any]:
    return {"event": "IN_TRANSIT", "entity_type": "delivery", "entity_id": "dlv_1", "data": {"parcels": parcels}}


@pytest.mark.parametrize(("name", "order_ids", "status"), EVENTS)
def test_a_recorded_body_is_read(name: str, order_ids: tuple[str, ...], status: str) -> None:
    event = read(recorded(f"afosto/{name}"))
    assert (event.provider, event.kind, event.name) == (Provider.AFOSTO, Kind(name), name.upper())
    assert (event.order_ids, event.status) == (order_ids, status)
    assert event.provider_event_id is not None
    assert event.provider_event_id.startswith("msg_")
    assert event.lines == ()


def test_the_published_order_example_is_read_in_full() -> None:
    event = read(recorded("afosto/order_opened"))
    assert event.number == "1042"
    assert event.occurred_at == datetime(2024, 4, 24, 23, 6, 40, tzinfo=UTC)
    assert event.received_at == datetime(2024, 4, 25, 14, 0, 1, 234000, UTC)
    assert event.promised_at is None


def test_the_published_delivery_example_is_kept_under_its_own_id() -> None:
    event = read(recorded("afosto/delivered"))
    assert event.order_ids == (AFOSTO_DELIVERY,)
    assert event.promised_at == datetime(2024, 4, 25, 10, tzinfo=UTC)
    assert event.number is None


def test_a_delivery_names_each_of_its_orders_once_and_in_order() -> None:
    items = [{"order": {"id": name}} for name in ("b", "a", "b", "", 7.5, None)]
    assert read(delivery([{"items": items}, {"items": [{"order": {"id": "c"}}]}])).order_ids == ("b", "a", "c")


@pytest.mark.parametrize("parcels", [{"items": {"order": [{"id": "a"}]}}, [{"items": {"order": {"id": "a"}}}]])
def test_one_object_is_read_like_a_list_of_one(parcels: object) -> None:
    assert read(delivery(parcels)).order_ids == ("a",)


@pytest.mark.parametrize("parcels", [None, [], {}, "x", 7, [None, 1, "x", []], [{"items": 5}], [{"items": [{"order": "a"}]}]])
def test_a_delivery_that_names_no_order_stands_for_itself(parcels: object) -> None:
    assert read(delivery(parcels)).order_ids == ("dlv_1",)


def test_an_order_with_parcels_stands_for_itself() -> None:
    assert read(order(data={"parcels": [{"items": [{"order": {"id": "a"}}]}]})).order_ids == ("ord_1",)


@pytest.mark.parametrize(
    ("event", "data", "status"),
    [
        ("ORDER_OPENED", {}, "opened"),
        ("ORDER_CLOSED", {"progress": ""}, "closed"),
        ("ORDER_CLOSED", {"progress": 5}, "closed"),
        ("ORDER_UPDATED", {}, None),
        ("ORDER_UPDATED", {"progress": "PARTIALLY_PICKED"}, "partially_picked"),
        ("ORDER_PAUSED", {"progress": "PAUSED"}, "paused"),
        ("ORDER_UPDATED", None, None),
    ],
)
def test_an_order_states_its_own_progress_else_what_the_event_says(event: str, data: object, status: str | None) -> None:
    assert read(order(event=event, data=data)).status == status


def test_the_progress_of_a_deliverys_data_is_not_the_orders() -> None:
    assert read(delivery([]) | {"data": {"progress": "X"}}).status == "in_transit"


@pytest.mark.parametrize(
    ("number", "read_as"), [(1042, "1042"), ("A-7", "A-7"), (True, None), (None, None), ([], None), ("", None)]
)
def test_the_number_is_a_text(number: object, read_as: str | None) -> None:
    assert read(order(data={"number": number})).number == read_as


def test_fields_that_nothing_depends_on_never_fail_an_event() -> None:
    event = read(order(tenant=[], data={"items": "none", "expected_at": 5, "customer": [], "extra": {"deep": [[1.5]]}}))
    assert (event.kind, event.promised_at) == (Kind.ORDER_UPDATED, None)


def test_an_unknown_event_name_is_kept_and_not_refused() -> None:
    event = read(order(event="ORDER_PAUSED"))
    assert (event.kind, event.name) == (Kind.UNRECOGNISED, "ORDER_PAUSED")


@pytest.mark.parametrize(
    ("milliseconds", "time"),
    [
        (946684800000, datetime(2000, 1, 1, tzinfo=UTC)),
        (1714050000001, datetime(2024, 4, 25, 13, 0, 0, 1000, UTC)),
        (1714050000, datetime(2024, 4, 25, 13, tzinfo=UTC)),
        (1714050000000001, datetime(2024, 4, 25, 13, 0, 0, 1, UTC)),
        ("1714050000001", datetime(2024, 4, 25, 13, 0, 0, 1000, UTC)),
        (1714050000000.0, datetime(2024, 4, 25, 13, tzinfo=UTC)),
        (253402300799999, datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)),
    ],
)
def test_the_time_is_exact_to_the_millisecond(milliseconds: object, time: datetime) -> None:
    assert read(order(triggered_at=milliseconds)).occurred_at == time


def test_an_event_without_a_time_gets_its_time_of_receipt() -> None:
    event = read(order())
    assert event.occurred_at == event.received_at


@pytest.mark.parametrize("at", [0, -1, "soon", {}, True, 10**30, -(10**400)])
def test_a_time_that_nobody_means_is_the_time_of_receipt(at: object) -> None:
    event = read(order(triggered_at=at))
    assert (event.occurred_at, event.has_time) == (event.received_at, False)
    assert [(part.path, part.effects) for part in event.unreadable] == [("$.triggered_at", ())]


@pytest.mark.parametrize(("name", "order_ids"), [("DELIVERED", ("a",)), ("PARCEL_LOST", ("a",)), ("ORDER_UPDATED", ("dlv_1",))])
@pytest.mark.parametrize("entity_type", [None, "parcel", "", 7])
def test_without_a_type_the_events_name_says_what_its_entity_is(
    name: str, order_ids: tuple[str, ...], entity_type: object
) -> None:
    body = delivery([{"items": [{"order": {"id": "a"}}]}]) | {"event": name, "entity_type": entity_type}
    assert read(body).order_ids == order_ids


def test_an_empty_message_id_is_no_message_id() -> None:
    assert read(order(message_id="")).provider_event_id is None


def test_nul_never_reaches_the_ledger() -> None:
    event = read(order(event="A\0", entity_id="o\0", message_id="m\0", data={"number": "\0", "progress": "\0"}))
    assert (event.name, event.order_ids, event.provider_event_id) == ("A\ufffd", ("o\ufffd",), "m\ufffd")
    assert (event.number, event.status) == ("\ufffd", "\ufffd")


def test_an_order_whose_id_is_too_long_costs_neither_the_other_orders_nor_the_event() -> None:
    orders = [{"order": {"id": "o" * 256}}, {"order": {"id": "short"}}]
    for named, order_ids in ((orders, ("short",)), (orders[:1], ("d",))):
        body = {"event": "DELIVERED", "entity_type": "delivery", "entity_id": "d", "data": {"parcels": [{"items": named}]}}
        event = read(body)
        assert event.order_ids == order_ids
        assert [part.path for part in event.unreadable] == ["$.data.parcels[].items[].order.id"]
