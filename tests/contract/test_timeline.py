"""The timeline: how an order stands now, by the provider's time, and every line of how it came there."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest
from msgspec.structs import replace

from schemas.decoding import decode
from schemas.events import Event, Kind, Provider
from tests.support.books import Books
from tests.support.events import ORDER, at, event

LONGEST = 255


def flat(**fields: object) -> Event:
    """A flat body, decoded as the workers do in a shop in Amsterdam."""
    return decode("instacart", orjson.dumps(fields), "1782907200123-7", ZoneInfo("Europe/Amsterdam"))


def test_an_order_stands_as_its_newest_status_says(books: Books) -> None:
    books.tell(event(Kind.DELIVERING, 3), event(Kind.ORDER_CREATED, 0, promised_at=at(60)), event(Kind.PICKING, 1))
    row = books.row("orders")
    assert (row["status"], row["status_at"]) == ("delivering", at(3))
    assert (row["first_event_at"], row["last_event_at"]) == (at(0), at(3))
    assert (row["promised_at"], row["expected_at"]) == (at(60), at(60))


def test_a_revert_to_an_earlier_status_is_news(books: Books) -> None:
    books.tell(event(Kind.PICKING, 1), event(Kind.DELIVERING, 2), event(Kind.PICKING, 3))
    assert books.row("orders")["status"] == "picking"
    assert [row["name"] for row in books.rows("order_events")].count("fulfillment.picking") == 2


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "in reverse"])
def test_of_two_events_of_one_time_the_one_further_along_stands(books: Books, reverse: bool) -> None:
    story = [event(Kind.PICKING, 1), event(Kind.STAGING, 1)]
    books.tell(*(story[::-1] if reverse else story))
    assert books.row("orders")["status"] == "staging"


def test_an_event_without_a_status_leaves_it_as_it_is(books: Books) -> None:
    books.tell(event(Kind.PICKING, 1), event(Kind.ORDER_ITEM_REFUND, 2), event(Kind.UNRECOGNISED, 3, name="tip_adjustment"))
    row = books.row("orders")
    assert (row["status"], row["status_at"], row["last_event_at"]) == ("picking", at(1), at(3))
    assert "tip_adjustment" in [row["name"] for row in books.rows("order_events")]


def test_an_order_that_another_handler_knew_first_gets_its_times_from_the_timeline(books: Books) -> None:
    report = event(Kind.CUSTOMER_MIA, 1)
    books.apply("customer_mia", report)
    assert books.row("orders")["first_event_at"] is None
    books.apply("timeline", report)
    assert (books.row("orders")["first_event_at"], books.row("orders")["last_event_at"]) == (at(1), at(1))


def test_a_delivery_goes_on_the_timeline_of_each_order_it_names(books: Books) -> None:
    delivered = event(Kind.DELIVERED, 1, order_ids=("a", "b"), provider=Provider.AFOSTO)
    books.tell(delivered)
    assert [(row["order_id"], row["status"]) for row in books.rows("orders")] == [("a", "delivered"), ("b", "delivered")]
    assert [row["event_id"] for row in books.rows("order_events")] == [delivered.event_id] * 2


def test_the_same_order_id_of_two_providers_is_two_orders(books: Books) -> None:
    books.tell(event(Kind.DELIVERED, 1), event(Kind.IN_TRANSIT, 1, provider=Provider.AFOSTO, status="in_transit"))
    assert [(row["provider"], row["status"]) for row in books.rows("orders")] == [
        ("afosto", "in_transit"),
        ("instacart", "delivered"),
    ]


def test_the_provider_s_time_and_ours_are_kept_apart_and_in_utc(books: Books) -> None:
    books.tell(flat(event="picking", order_id="x", timestamp="2026-07-01T12:00:00.123456+02:00"))
    row = books.row("order_events")
    assert row["occurred_at"] == datetime(2026, 7, 1, 10, 0, 0, 123456, tzinfo=UTC)
    assert row["received_at"] == datetime(2026, 7, 1, 12, 0, 0, 123000, tzinfo=UTC)
    assert row["occurred_at"].utcoffset() == timedelta(0)


def test_a_time_of_another_zone_is_the_same_moment(books: Books) -> None:
    books.tell(replace(event(Kind.PICKING, 1), occurred_at=at(1).astimezone(ZoneInfo("Asia/Tokyo"))))
    assert books.row("orders")["status_at"] == at(1)


def test_a_time_without_a_zone_is_the_store_s_own(books: Books) -> None:
    order = {"estimated_delivery_at": "2026-07-01 18:00:00"}
    books.tell(flat(event="order_created", order_id="x", timestamp="2026-07-01 12:00:00", order=order))
    row = books.row("orders")
    assert row["status_at"] == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert row["promised_at"] == datetime(2026, 7, 1, 16, tzinfo=UTC)


@pytest.mark.parametrize("time", ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-12:00"])
def test_the_first_and_the_last_of_times_are_kept(books: Books, time: str) -> None:
    happened = flat(event="picking", order_id="x", timestamp=time)
    books.tell(happened)
    assert books.row("orders")["status_at"] == happened.occurred_at


def test_an_event_without_a_time_happened_when_it_arrived(books: Books) -> None:
    books.tell(flat(event="picking", order_id="x"))
    assert books.row("orders")["status_at"] == datetime(2026, 7, 1, 12, 0, 0, 123000, tzinfo=UTC)


ODD_NAMES = {
    "nul": "a\0b",
    "longest": "x" * LONGEST,
    "longest emoji": "🛒" * LONGEST,
    "quotes": "a'b\"c\\d;--%s:x{}",
    "controls": "a\n\t\x01\x7fb",
    "right to left": "\u202eabc",
}


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
def test_no_text_breaks_the_ledger(books: Books, name: str) -> None:
    item = {"product_id": name, "name": name * 40, "refunded": True, "quantity": 1}
    books.tell(
        flat(event="order_created", order_id=name, timestamp="2026-07-01T12:00:00Z", order={"fulfillment_type": name * 40}),
        flat(event="customer_mia", order_id=name, timestamp="2026-07-01T12:00:01Z"),
        flat(event="late_delivery", order_id=name, timestamp="2026-07-01T12:00:02Z", status=name),
        flat(event=name, order_id=name, timestamp="2026-07-01T12:00:03Z", status=name * 40),
        flat(event="order_item_refund", order_id=name, items=[item]),
    )
    clean = name.replace("\0", "\ufffd")
    assert books.row("orders")["order_id"] == clean
    assert books.row("orders")["fulfillment_type"] == clean * 40
    assert (books.row("refunds")["line"], books.row("refunds")["product_name"]) == (clean, clean * 40)
    assert len(books.alerts()) == 2


def test_a_large_batch_costs_as_many_statements_as_a_small_one(books: Books) -> None:
    books.tell(event(Kind.ORDER_CREATED, 0))
    counts = []
    kinds = (Kind.ORDER_CREATED, Kind.DELIVERED)
    for size in (1, 100):
        batch = [event(kind, n, f"{size}-{n}", promised_at=at(60)) for n in range(size) for kind in kinds]
        with books.counting() as statements:
            books.apply("timeline", *batch)
        counts.append(len([each for each in statements if not each.startswith("BEGIN")]))
    assert counts == [4, 4]


def test_a_batch_that_promises_nothing_and_ends_nothing_costs_two_statements(books: Books) -> None:
    books.tell(event(Kind.ORDER_CREATED, 0))
    with books.counting() as statements:
        books.apply("timeline", *(event(Kind.PICKING, n, f"order-{n % 10}") for n in range(100)))
    assert len([each for each in statements if not each.startswith("BEGIN")]) == 2
    assert ORDER in [row["order_id"] for row in books.rows("orders")]
