"""The benchmark's own bodies and checks."""

import msgspec

from schemas.decoding import decode
from tests.bench.bodies import SIZES, envelopes, missing_customers, mixed, refunding, sized
from tests.bench.committed import Rows, expected
from tests.support.settings import make_settings
from workers.handlers import refunds
from workers.ledger.item_lists import lists_by_order

EVENT_ID = "1772438400000-0"


def test_every_body_decodes() -> None:
    zone = make_settings().store_timezone
    posted = [*envelopes(200), *mixed(200), *(body for size in SIZES for body in sized(size, 3))]
    assert all(decode(*each, EVENT_ID, zone).order_ids for each in posted)


def test_the_expected_rows_are_those_that_the_handlers_write() -> None:
    posted = refunding(3_000)
    events = {each.identity: each for each in (decode(*body, EVENT_ID, make_settings().store_timezone) for body in posted)}
    orders = {each.order_ids for each in events.values()}
    lists = lists_by_order(each for each in events.values() if each.kind == "order_item_refund")
    refunded = [row for of_order in lists.values() for row in refunds.rows_of(of_order.values())]
    assert expected(posted) == Rows(len(orders), len(events), len(refunded))
    assert len(events) < len(posted), "without duplicates they prove little"


def test_each_missing_customer_is_another_order_s() -> None:
    orders = {msgspec.json.decode(body)["event_metadata"]["order_id"] for _, body in missing_customers(100)}
    assert len(orders) == 100
