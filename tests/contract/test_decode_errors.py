"""Decode errors: kept byte for byte with a reason and a place, and decoded by a release that can."""

import pytest

from schemas import keys
from schemas.decoding import decode
from schemas.failures import FailureState, Reason
from tests.payloads import recorded
from tests.support.stepped_deployment import SteppedDeployment
from tests.unit.undecodable_bodies import BAD, GOOD, SECRET
from workers.errors import EventFailedError

HUGE = [
    ("instacart", b'{"event":"picking","order_id":"o","x":"' + b"y" * 10_000_000, "MALFORMED", "$: expected JSON, got a body"),
    ("instacart", b"y" * 10_000_000, "MALFORMED", "$: expected JSON, got invalid character (byte 0)"),
    ("a provider of tomorrow", b'{"event":"picking"}', "UNKNOWN_PROVIDER", "provider: expected one of instacart, afosto, got"),
]
ALL = [*BAD, *HUGE]
REFUND = recorded("instacart/flat/order_item_refund")


def test_every_kind_of_bad_body_ends_as_one_failure_with_its_bytes_and_the_place(stepped_deployment: SteppedDeployment) -> None:
    assert len(ALL) >= 40
    bad = {
        stepped_deployment.append(body, provider): (provider, body, reason, message) for provider, body, reason, message in ALL
    }
    good = [stepped_deployment.append(body) for body in GOOD]
    stepped_deployment.work()
    found = {each.event_id: each for each in stepped_deployment.failures.all()}
    assert found.keys() == bad.keys(), "the odd ones that can be placed are no failures"
    for event_id, (provider, body, reason, message) in bad.items():
        failure = found[event_id]
        assert (failure.provider, failure.body, failure.reason) == (provider, body, Reason[reason])
        assert failure.message.startswith(message)
        assert SECRET not in failure.message
        assert (failure.handler, failure.state, failure.traceback) == (keys.DISPATCH, FailureState.DEAD, None)
    counters = stepped_deployment.sums.counters
    assert (counters["undecodable"], counters["routed"] + counters.get("duplicate", 0)) == (len(ALL), len(good))
    assert len(stepped_deployment.ledger_fixture.rows("order_events")) == counters["routed"]


def test_a_retry_that_fails_to_decode_again_records_the_error_again(stepped_deployment: SteppedDeployment) -> None:
    event_id = stepped_deployment.append(b'{"event":"picking"}')
    stepped_deployment.dispatch()
    before = stepped_deployment.failures.get("dispatch", event_id)
    stepped_deployment.failures.retry("dispatch", event_id, 1)
    (told,) = stepped_deployment.run_due_retries()
    assert isinstance(told, EventFailedError)
    assert str(told) == f"no_order: DecodeError: {before.message} (curbside failed show dispatch:{event_id})"
    after = stepped_deployment.failures.get("dispatch", event_id)
    assert (after.state, after.reason, after.message, after.body) == (
        FailureState.DEAD,
        before.reason,
        before.message,
        before.body,
    )


@pytest.mark.parametrize("trimmed", [False, True], ids=["kept", "trimmed"])
def test_an_event_that_a_newer_release_can_decode_is_dispatched_as_a_new_one(
    stepped_deployment: SteppedDeployment, trimmed: bool
) -> None:
    event_id = stepped_deployment.append(REFUND)
    stepped_deployment.append(b'{"event":"an event of tomorrow","order_id":"o"}')
    stepped_deployment.dispatch_with_an_older_release()
    assert stepped_deployment.sums.count("undecodable") == 2
    if trimmed:
        stepped_deployment.client.xtrim(keys.INBOX, maxlen=0, approximate=False)
    for failure in list(stepped_deployment.failures.all()):
        stepped_deployment.failures.retry(failure.handler, failure.event_id, 1)
    assert stepped_deployment.run_due_retries() == [None, None]
    stepped_deployment.work()
    assert stepped_deployment.failures.count() == 0
    assert [row["event_id"] for row in stepped_deployment.ledger_fixture.rows("refunds")] == [event_id]
    counters = stepped_deployment.sums.counters
    assert (counters["undecodable"], counters["routed"], counters["unrecognised"]) == (0, 2, 1)
    assert stepped_deployment.client.hgetall(keys.UNRECOGNISED) == {b"an event of tomorrow": b"1"}


def test_redeliveries_of_a_decode_error_are_dropped_whichever_is_decoded_first(stepped_deployment: SteppedDeployment) -> None:
    first = stepped_deployment.append(REFUND)
    second = stepped_deployment.append(REFUND)
    stepped_deployment.dispatch_with_an_older_release()
    stepped_deployment.append(REFUND)  # the newer release is there, and routes this one
    stepped_deployment.work()
    for event_id in (first, second):
        stepped_deployment.failures.retry("dispatch", event_id, 1)
    assert stepped_deployment.run_due_retries() == [None, None]
    stepped_deployment.work()
    counters = stepped_deployment.sums.counters
    assert (counters["routed"], counters["duplicate"], counters["undecodable"]) == (1, 2, 0)
    assert len(stepped_deployment.ledger_fixture.rows("refunds")) == 1


def test_a_redelivery_after_a_successful_retry_is_dropped(stepped_deployment: SteppedDeployment) -> None:
    event_id = stepped_deployment.append(REFUND)
    stepped_deployment.dispatch_with_an_older_release()
    stepped_deployment.failures.retry("dispatch", event_id, 1)
    stepped_deployment.run_due_retries()
    stepped_deployment.append(REFUND)
    stepped_deployment.work()
    assert (stepped_deployment.sums.counters["routed"], stepped_deployment.sums.counters["duplicate"]) == (1, 1)


def test_a_decode_error_discarded_during_its_retry_stays_discarded(stepped_deployment: SteppedDeployment) -> None:
    event_id = stepped_deployment.append(REFUND)
    stepped_deployment.dispatch_with_an_older_release()
    stepped_deployment.failures.retry("dispatch", event_id, 1)
    (taken,) = stepped_deployment.take_due()
    discarded = stepped_deployment.failures.discard("dispatch", event_id, "a test order")

    event = decode("instacart", taken.body, event_id, stepped_deployment.zone)
    assert not stepped_deployment.failures.resolve_decoded(taken, event, ["refunds"], stepped_deployment.seen_ms)
    assert stepped_deployment.failures.get("dispatch", event_id) == discarded
    assert stepped_deployment.sums.count("undecodable") == 1


def test_a_decode_error_without_a_body_says_so_at_every_retry(stepped_deployment: SteppedDeployment) -> None:
    event_id = stepped_deployment.append(REFUND)
    stepped_deployment.dispatch()
    stepped_deployment.client.xdel(keys.INBOX, event_id)
    stepped_deployment.handle()
    fields = {each.field: each for each in stepped_deployment.failures.all()}
    assert fields.keys() == {f"timeline:{event_id}", f"refunds:{event_id}"}
    for _ in range(2):
        stepped_deployment.failures.retry("refunds", event_id, 1)
        (told,) = stepped_deployment.run_due_retries()
        assert "body_missing: DecodeError: its body is no longer in the inbox" in str(told)
    assert stepped_deployment.sums.count("failed:refunds") == 1
