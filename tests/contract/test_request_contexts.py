"""What came with an event's body goes with it: to handlers, into failures, through retries and replays."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas import keys
from schemas.events import Provider
from schemas.request_context import NO_CONTEXT, RequestContext, encode_context
from tests.payloads import recorded
from tests.support.witness import SENT, TRACEPARENT, WitnessedShop
from workers.replay import Wanted

OPENED = recorded("afosto/order_opened")
REFUND = b'{"event":"order_item_refund","order_id":"o-1","items":[{"line_num":"1","refunded":true}]}'
A_DAY_AGO = Wanted(datetime.now(UTC) - timedelta(days=1))


def test_a_handler_sees_what_came_with_each_event_and_nothing_of_an_older_entry(witnessed_shop: WitnessedShop) -> None:
    witnessed_shop.append(OPENED, Provider.AFOSTO)
    witnessed_shop.lane.append(REFUND)
    witnessed_shop.lane.append(recorded("instacart/flat/picking"), request=b"\xff unreadable")
    witnessed_shop.lane.work()
    assert witnessed_shop.witness.seen == [SENT, NO_CONTEXT, NO_CONTEXT]
    assert witnessed_shop.witness.seen[0].traceparent == TRACEPARENT
    assert witnessed_shop.witness.seen[0].headers["x-afosto-tenant"] == "shop-nl"


def test_a_redelivery_with_other_headers_is_the_same_event(witnessed_shop: WitnessedShop) -> None:
    witnessed_shop.append(OPENED, Provider.AFOSTO)
    witnessed_shop.append(OPENED, Provider.AFOSTO, RequestContext(peer="198.51.100.1", traceparent="another"))
    witnessed_shop.lane.work()
    assert (witnessed_shop.lane.sums.count("duplicate"), witnessed_shop.witness.seen) == (1, [SENT])


def test_a_replay_shows_it_again(witnessed_shop: WitnessedShop) -> None:
    witnessed_shop.append(OPENED, Provider.AFOSTO)
    witnessed_shop.lane.work()
    assert witnessed_shop.lane.replay().run(A_DAY_AGO).events == 1
    witnessed_shop.lane.handle()
    assert witnessed_shop.witness.seen == [SENT, SENT]


def test_a_retry_has_it_still_when_the_inbox_has_let_go(witnessed_shop: WitnessedShop) -> None:
    witnessed_shop.witness.bug = KeyError("a bug")
    event_id = witnessed_shop.append(OPENED, Provider.AFOSTO)
    witnessed_shop.lane.work()
    assert witnessed_shop.lane.failures.get("witness", event_id).request == SENT
    witnessed_shop.empty_the_inbox()
    assert [type(told).__name__ for told in witnessed_shop.lane.try_due()] == ["Retry"]
    witnessed_shop.witness.bug = None
    assert witnessed_shop.lane.try_due() == [None]
    assert witnessed_shop.witness.seen == [SENT, SENT, SENT]


@pytest.mark.parametrize("request_of_event", [SENT, NO_CONTEXT], ids=["kept", "older entry"])
def test_a_body_that_could_not_be_decoded_keeps_it_in_its_claim_checks_too(
    witnessed_shop: WitnessedShop, request_of_event: RequestContext
) -> None:
    event_id = witnessed_shop.lane.append(
        OPENED, Provider.AFOSTO, b"" if request_of_event is NO_CONTEXT else encode_context(SENT)
    )
    witnessed_shop.lane.drain_with_an_older_release()
    assert witnessed_shop.lane.failures.get(keys.DRAIN, event_id).request == request_of_event
    witnessed_shop.empty_the_inbox()
    witnessed_shop.lane.failures.revive(keys.DRAIN, event_id, 1)
    assert witnessed_shop.lane.try_due() == [None]
    checks: Any = witnessed_shop.lane.client.xrange(keys.todo("witness"))
    assert [keys.FIELD_REQUEST in fields for _, fields in checks] == [request_of_event is SENT]
    witnessed_shop.lane.handle()
    assert witnessed_shop.witness.seen == [request_of_event]
    assert witnessed_shop.lane.sums.is_settled
