"""What came with an event's body goes with it: to handlers, into failures, through retries and replays, and before a person's eyes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas import keys
from schemas.events import Provider
from schemas.request_context import NO_CONTEXT, RequestContext, encode_context
from tests.payloads import AFOSTO_ORDER as ORDER
from tests.payloads import recorded
from tests.support.witness import ENDPOINT, SENT, TRACEPARENT, WitnessedShop
from workers.replay import ReplayFilter

OPENED = recorded("afosto/order_opened")
REFUND = b'{"event":"order_item_refund","order_id":"o-1","items":[{"line_num":"1","refunded":true}]}'
ESCAPES = RequestContext(peer="203.0.113.9", user_agent="\x1b]0;owned\x07", headers={"x-afosto-tenant": "\x1b[31mred\u202e"})
A_DAY_AGO = ReplayFilter(datetime.now(UTC) - timedelta(days=1))


def test_a_handler_sees_what_came_with_each_event_and_nothing_of_an_older_entry(witnessed_shop: WitnessedShop) -> None:
    witnessed_shop.append(OPENED, Provider.AFOSTO)
    witnessed_shop.queue.append(REFUND)
    witnessed_shop.queue.append(recorded("instacart/flat/picking"), request=b"\xff unreadable")
    witnessed_shop.queue.work()
    assert witnessed_shop.witness.seen == [SENT, NO_CONTEXT, NO_CONTEXT]
    assert witnessed_shop.witness.seen[0].traceparent == TRACEPARENT
    assert witnessed_shop.witness.seen[0].headers["x-afosto-tenant"] == "shop-nl"


def test_a_redelivery_with_other_headers_is_the_same_event(witnessed_shop: WitnessedShop) -> None:
    witnessed_shop.append(OPENED, Provider.AFOSTO)
    witnessed_shop.append(OPENED, Provider.AFOSTO, RequestContext(peer="198.51.100.1", traceparent="another"))
    witnessed_shop.queue.work()
    assert (witnessed_shop.queue.sums.count("duplicate"), witnessed_shop.witness.seen) == (1, [SENT])


def test_a_replay_shows_it_again(witnessed_shop: WitnessedShop) -> None:
    witnessed_shop.append(OPENED, Provider.AFOSTO)
    witnessed_shop.queue.work()
    assert witnessed_shop.queue.replay().run(A_DAY_AGO).events == 1
    witnessed_shop.queue.handle()
    assert witnessed_shop.witness.seen == [SENT, SENT]


def test_a_retry_has_it_still_when_the_inbox_has_let_go(witnessed_shop: WitnessedShop) -> None:
    witnessed_shop.witness.bug = KeyError("a bug")
    event_id = witnessed_shop.append(OPENED, Provider.AFOSTO)
    witnessed_shop.queue.work()
    assert witnessed_shop.queue.failures.get("witness", event_id).request == SENT
    witnessed_shop.empty_the_inbox()
    assert [type(told).__name__ for told in witnessed_shop.queue.try_due()] == ["Retry"]
    witnessed_shop.witness.bug = None
    assert witnessed_shop.queue.try_due() == [None]
    assert witnessed_shop.witness.seen == [SENT, SENT, SENT]


@pytest.mark.parametrize("request_of_event", [SENT, NO_CONTEXT], ids=["kept", "older entry"])
def test_a_body_that_could_not_be_decoded_keeps_it_in_its_claim_checks_too(
    witnessed_shop: WitnessedShop, request_of_event: RequestContext
) -> None:
    event_id = witnessed_shop.queue.append(
        OPENED, Provider.AFOSTO, b"" if request_of_event is NO_CONTEXT else encode_context(SENT)
    )
    witnessed_shop.queue.dispatch_with_an_older_release()
    assert witnessed_shop.queue.failures.get(keys.DISPATCH, event_id).request == request_of_event
    witnessed_shop.empty_the_inbox()
    witnessed_shop.queue.failures.retry(keys.DISPATCH, event_id, 1)
    assert witnessed_shop.queue.try_due() == [None]
    checks: Any = witnessed_shop.queue.client.xrange(keys.todo("witness"))
    assert [keys.FIELD_REQUEST in fields for _, fields in checks] == [request_of_event is SENT]
    witnessed_shop.queue.handle()
    assert witnessed_shop.witness.seen == [request_of_event]
    assert witnessed_shop.queue.sums.is_settled


def test_failed_show_tells_it(witnessed_shop: WitnessedShop) -> None:
    event_id = witnessed_shop.append(b"{", Provider.AFOSTO)
    older = witnessed_shop.queue.append(b"{[", Provider.AFOSTO)
    witnessed_shop.queue.work()
    shown = witnessed_shop.json("failed", "show", event_id)["request"]
    assert shown["headers"] == {"x-afosto-tenant": "shop-nl", "x-afosto-endpoint": ENDPOINT}
    assert (shown["peer"], shown["traceparent"]) == ("203.0.113.9", TRACEPARENT)
    lines = witnessed_shop("failed", "show", event_id).output.splitlines()
    assert lines[lines.index("request:") + 1] == "  peer: 203.0.113.9"
    assert "  x-afosto-tenant: shop-nl" in lines
    assert witnessed_shop.json("failed", "show", older)["request"] is None
    assert "request: -" in witnessed_shop("failed", "show", older).output.splitlines()


def test_trace_tells_it_of_each_event_as_long_as_somebody_has_it(witnessed_shop: WitnessedShop) -> None:
    event_id = witnessed_shop.append(OPENED, Provider.AFOSTO)
    updated = witnessed_shop.queue.append(
        OPENED.replace(b"ORDER_OPENED", b"ORDER_UPDATED").replace(b"msg_", b"msg_2"), "afosto"
    )
    witnessed_shop.queue.work()
    ((shown, bare),) = (each["steps"] for each in witnessed_shop.json("order", ORDER))
    assert (shown["event_id"], shown["request"]["headers"]) == (event_id, SENT.headers)
    assert (bare["event_id"], "request" in bare) == (updated, False)
    text = witnessed_shop("order", ORDER).output
    assert text.count("tenant shop-nl, peer 203.0.113.9") == 1
    assert ENDPOINT not in text
    witnessed_shop.empty_the_inbox()
    assert "request" not in witnessed_shop("order", ORDER, "--json").output
    assert "peer" not in witnessed_shop("order", ORDER).output


def test_trace_takes_it_from_the_record_of_a_failure_when_the_inbox_has_let_go(witnessed_shop: WitnessedShop) -> None:
    witnessed_shop.witness.bug = KeyError("a bug")
    witnessed_shop.append(OPENED, Provider.AFOSTO)
    witnessed_shop.queue.work()
    witnessed_shop.empty_the_inbox()
    (trace,) = witnessed_shop.json("order", ORDER)
    assert {step["what"]: step["request"]["peer"] for step in trace["steps"]} == {"event": SENT.peer, "failed": SENT.peer}


def test_trace_asks_for_all_events_at_once(real_witnessed_shop: WitnessedShop) -> None:
    def picking(second: int) -> bytes:
        return b'{"event":"picking","order_id":"o-9","timestamp":"2026-03-02T08:00:%02dZ"}' % second

    def asked() -> dict[str, int]:
        used: Any = real_witnessed_shop.queue.client.info("commandstats")
        real_witnessed_shop.queue.client.config_resetstat()
        return {name.removeprefix("cmdstat_"): each["calls"] for name, each in used.items()}

    for second in range(40):
        real_witnessed_shop.append(picking(second), Provider.INSTACART)
    real_witnessed_shop.queue.work()
    real_witnessed_shop("order", "o-9")  # the script is known from now on
    asked()
    assert real_witnessed_shop("order", "o-9").output.count("peer 203.0.113.9") == 40
    used = asked()
    assert used["evalsha"] == 1
    assert used["xrange"] == 40, "inside the script"


def test_values_from_outside_cannot_command_the_terminal(witnessed_shop: WitnessedShop) -> None:
    witnessed_shop.append(OPENED, Provider.AFOSTO, ESCAPES)
    event_id = witnessed_shop.append(b"{", Provider.AFOSTO, ESCAPES)
    witnessed_shop.queue.work()
    for said in (witnessed_shop("failed", "show", event_id), witnessed_shop("order", ORDER)):
        assert r"\x1b[31mred" in said.output
        assert not {"\x1b", "\x07", "\u202e"} & set(said.output)
