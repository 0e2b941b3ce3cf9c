"""The request context of an event reaches handlers, failures, retries, replays and the command line."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas import keys
from schemas.events import Provider
from schemas.request_context import NO_CONTEXT, RequestContext, encode_context
from tests.contract.context_deployment import ENDPOINT, SENT, TRACEPARENT, ContextDeployment
from tests.payloads import AFOSTO_ORDER as ORDER
from tests.payloads import recorded
from workers.replay import ReplayFilter

OPENED = recorded("afosto/order_opened")
REFUND = b'{"event":"order_item_refund","order_id":"o-1","items":[{"line_num":"1","refunded":true}]}'
ESCAPES = RequestContext(peer="203.0.113.9", user_agent="\x1b]0;owned\x07", headers={"x-afosto-tenant": "\x1b[31mred\u202e"})
A_DAY_AGO = ReplayFilter(datetime.now(UTC) - timedelta(days=1))


def test_a_handler_gets_the_request_context_of_each_event_and_an_empty_one_for_old_entries(
    context_deployment: ContextDeployment,
) -> None:
    context_deployment.append(OPENED, Provider.AFOSTO)
    context_deployment.stepped_deployment.append(REFUND)
    context_deployment.stepped_deployment.append(recorded("instacart/flat/picking"), request=b"\xff unreadable")
    context_deployment.stepped_deployment.work()
    assert context_deployment.recording_handler.seen == [SENT, NO_CONTEXT, NO_CONTEXT]
    assert context_deployment.recording_handler.seen[0].traceparent == TRACEPARENT
    assert context_deployment.recording_handler.seen[0].headers["x-afosto-tenant"] == "shop-nl"


def test_a_redelivery_with_other_headers_is_the_same_event(context_deployment: ContextDeployment) -> None:
    context_deployment.append(OPENED, Provider.AFOSTO)
    context_deployment.append(OPENED, Provider.AFOSTO, RequestContext(peer="198.51.100.1", traceparent="another"))
    context_deployment.stepped_deployment.work()
    assert (context_deployment.stepped_deployment.sums.count("duplicate"), context_deployment.recording_handler.seen) == (
        1,
        [SENT],
    )


def test_a_replay_gives_the_handler_the_same_request_context(context_deployment: ContextDeployment) -> None:
    context_deployment.append(OPENED, Provider.AFOSTO)
    context_deployment.stepped_deployment.work()
    assert context_deployment.stepped_deployment.replay().run(A_DAY_AGO).events == 1
    context_deployment.stepped_deployment.handle()
    assert context_deployment.recording_handler.seen == [SENT, SENT]


def test_a_retry_has_the_request_context_after_the_inbox_is_trimmed(context_deployment: ContextDeployment) -> None:
    context_deployment.recording_handler.bug = KeyError("a bug")
    event_id = context_deployment.append(OPENED, Provider.AFOSTO)
    context_deployment.stepped_deployment.work()
    assert context_deployment.stepped_deployment.failures.get("recording", event_id).request == SENT
    context_deployment.trim_inbox()
    assert [type(told).__name__ for told in context_deployment.stepped_deployment.run_due_retries()] == ["Retry"]
    context_deployment.recording_handler.bug = None
    assert context_deployment.stepped_deployment.run_due_retries() == [None]
    assert context_deployment.recording_handler.seen == [SENT, SENT, SENT]


@pytest.mark.parametrize("request_of_event", [SENT, NO_CONTEXT], ids=["kept", "older entry"])
def test_a_retried_decode_error_keeps_the_request_context_in_its_claim_checks(
    context_deployment: ContextDeployment, request_of_event: RequestContext
) -> None:
    event_id = context_deployment.stepped_deployment.append(
        OPENED, Provider.AFOSTO, b"" if request_of_event is NO_CONTEXT else encode_context(SENT)
    )
    context_deployment.stepped_deployment.dispatch_with_an_older_release()
    assert context_deployment.stepped_deployment.failures.get(keys.DISPATCH, event_id).request == request_of_event
    context_deployment.trim_inbox()
    context_deployment.stepped_deployment.failures.retry(keys.DISPATCH, event_id, 1)
    assert context_deployment.stepped_deployment.run_due_retries() == [None]
    checks: Any = context_deployment.stepped_deployment.client.xrange(keys.todo("recording"))
    assert [keys.FIELD_REQUEST in fields for _, fields in checks] == [request_of_event is SENT]
    context_deployment.stepped_deployment.handle()
    assert context_deployment.recording_handler.seen == [request_of_event]
    assert context_deployment.stepped_deployment.sums.is_settled


def test_failed_show_prints_the_request_context(context_deployment: ContextDeployment) -> None:
    event_id = context_deployment.append(b"{", Provider.AFOSTO)
    older = context_deployment.stepped_deployment.append(b"{[", Provider.AFOSTO)
    context_deployment.stepped_deployment.work()
    shown = context_deployment.json("failed", "show", event_id)["request"]
    assert shown["headers"] == {"x-afosto-tenant": "shop-nl", "x-afosto-endpoint": ENDPOINT}
    assert (shown["peer"], shown["traceparent"]) == ("203.0.113.9", TRACEPARENT)
    lines = context_deployment("failed", "show", event_id).output.splitlines()
    assert lines[lines.index("request:") + 1] == "  peer: 203.0.113.9"
    assert "  x-afosto-tenant: shop-nl" in lines
    assert context_deployment.json("failed", "show", older)["request"] is None
    assert "request: -" in context_deployment("failed", "show", older).output.splitlines()


def test_order_history_shows_the_request_context_of_each_event_while_it_is_stored(
    context_deployment: ContextDeployment,
) -> None:
    event_id = context_deployment.append(OPENED, Provider.AFOSTO)
    updated = context_deployment.stepped_deployment.append(
        OPENED.replace(b"ORDER_OPENED", b"ORDER_UPDATED").replace(b"msg_", b"msg_2"), "afosto"
    )
    context_deployment.stepped_deployment.work()
    ((shown, bare),) = (each["steps"] for each in context_deployment.json("order", ORDER))
    assert (shown["event_id"], shown["request"]["headers"]) == (event_id, SENT.headers)
    assert (bare["event_id"], "request" in bare) == (updated, False)
    text = context_deployment("order", ORDER).output
    assert text.count("tenant shop-nl, peer 203.0.113.9") == 1
    assert ENDPOINT not in text
    context_deployment.trim_inbox()
    assert "request" not in context_deployment("order", ORDER, "--json").output
    assert "peer" not in context_deployment("order", ORDER).output


def test_order_history_reads_the_request_context_from_the_failure_after_the_inbox_is_trimmed(
    context_deployment: ContextDeployment,
) -> None:
    context_deployment.recording_handler.bug = KeyError("a bug")
    context_deployment.append(OPENED, Provider.AFOSTO)
    context_deployment.stepped_deployment.work()
    context_deployment.trim_inbox()
    (trace,) = context_deployment.json("order", ORDER)
    assert {step["what"]: step["request"]["peer"] for step in trace["steps"]} == {"event": SENT.peer, "failed": SENT.peer}


def test_order_history_reads_the_request_contexts_of_all_events_at_once(real_context_deployment: ContextDeployment) -> None:
    def picking(second: int) -> bytes:
        return b'{"event":"picking","order_id":"o-9","timestamp":"2026-03-02T08:00:%02dZ"}' % second

    def asked() -> dict[str, int]:
        used: Any = real_context_deployment.stepped_deployment.client.info("commandstats")
        real_context_deployment.stepped_deployment.client.config_resetstat()
        return {name.removeprefix("cmdstat_"): each["calls"] for name, each in used.items()}

    for second in range(40):
        real_context_deployment.append(picking(second), Provider.INSTACART)
    real_context_deployment.stepped_deployment.work()
    real_context_deployment("order", "o-9")  # the script is known from now on
    asked()
    assert real_context_deployment("order", "o-9").output.count("peer 203.0.113.9") == 40
    used = asked()
    assert used["evalsha"] == 1
    assert used["xrange"] == 40, "inside the script"


def test_values_from_requests_cannot_send_terminal_commands(context_deployment: ContextDeployment) -> None:
    context_deployment.append(OPENED, Provider.AFOSTO, ESCAPES)
    event_id = context_deployment.append(b"{", Provider.AFOSTO, ESCAPES)
    context_deployment.stepped_deployment.work()
    for said in (context_deployment("failed", "show", event_id), context_deployment("order", ORDER)):
        assert r"\x1b[31mred" in said.output
        assert not {"\x1b", "\x07", "\u202e"} & set(said.output)
