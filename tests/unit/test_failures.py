"""Failure records: states, attempts and leases of failed events, on fakeredis and Valkey."""

import traceback

import msgspec
import pytest
from celery.exceptions import Ignore, Retry

from schemas import keys
from schemas.failures import Failure, FailureState, Reason, encode_failure
from tests.support.event_sums import failures
from tests.support.stepped_deployment import AN_HOUR_MS, FailingHandler, SteppedDeployment
from tests.unit.failing_deployment import dead, failed, refund, refunds
from workers.errors import DependencyUnavailableError, EventFailedError, FailureNotFoundError, PermanentError
from workers.failures.failure_store import LEASE_MS, MAX_IN_FLIGHT


def test_one_bad_event_leaves_its_batch_and_the_others_are_applied(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    failing_handler.orders = frozenset({"o3"})
    ids = failed(failing_deployment, 40)
    assert len(refunds(failing_deployment)) == 39
    (failure,) = failing_deployment.failures.all()
    assert (failure.event_id, failure.attempts, failure.state) == (ids[3], 1, FailureState.RETRYING)
    assert (failure.body, failure.order_ids, failure.kind) == (refund("o3"), ("o3",), "order_item_refund")
    assert failing_deployment.sums.counters == {"routed": 40, "routed:refunds": 40, "applied:refunds": 39, "failed:refunds": 1}


def test_a_failure_is_dead_after_the_attempts_of_its_handler(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    (event_id,) = failed(failing_deployment)
    assert failing_deployment.run_retries_until_settled() == ["Retry", "EventFailedError"]
    failure = failing_deployment.failures.get("refunds", event_id)
    assert (failure.state, failure.attempts, failing_handler.calls) == (FailureState.DEAD, 3, 3)
    assert failing_deployment.take_due() == []


def test_a_retry_that_succeeds_clears_the_record(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    failed(failing_deployment)
    failing_handler.bug = None
    assert failing_deployment.run_retries_until_settled() == ["applied"]
    assert failing_deployment.failures.count() == 0
    assert refunds(failing_deployment) == ["o0"]
    assert failing_deployment.sums.counters == {"routed": 1, "routed:refunds": 1, "applied:refunds": 1, "failed:refunds": 0}
    assert not failing_deployment.client.exists(keys.RETRIES, keys.IN_FLIGHT)


def test_a_permanent_error_is_never_retried_automatically(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    failing_handler.bug = PermanentError("sold out")
    (event_id,) = failed(failing_deployment)
    failure = failing_deployment.failures.get("refunds", event_id)
    assert (failure.state, failure.reason, failure.message) == (FailureState.DEAD, Reason.REJECTED, "sold out")
    assert failing_deployment.take_due() == []


def test_an_outage_in_a_retry_counts_no_attempt(failing_deployment: SteppedDeployment, failing_handler: FailingHandler) -> None:
    (event_id,) = failed(failing_deployment)
    failing_handler.bug = DependencyUnavailableError("the loyalty service")
    for away in (1, 2, 3, 4):
        (told,) = failing_deployment.run_due_retries()
        assert isinstance(told, Retry)
        assert "the loyalty service is unreachable" in str(told)
        failure = failing_deployment.failures.get("refunds", event_id)
        assert (failure.attempts, failure.away, failure.state) == (1, away, FailureState.RETRYING)
    assert failing_deployment.client.hgetall(keys.UNREACHABLE) == {b"refunds.retry": b"the loyalty service"}
    failing_handler.bug = None
    assert failing_deployment.run_retries_until_settled() == ["applied"]
    assert failing_deployment.client.hgetall(keys.UNREACHABLE) == {}


def test_a_lost_message_is_resent_after_its_lease_and_no_sooner(failing_deployment: SteppedDeployment) -> None:
    failed(failing_deployment)
    (failure,) = failing_deployment.take_due()
    later = failure.next_at_ms + 2 * AN_HOUR_MS
    assert failing_deployment.failures.take_due(later - AN_HOUR_MS) == []
    assert [each.field for each in failing_deployment.failures.take_due(later + LEASE_MS)] == [failure.field]


def test_retries_never_use_all_capacity_of_the_workers(failing_deployment: SteppedDeployment) -> None:
    failed(failing_deployment, 3 * MAX_IN_FLIGHT)
    taken = failing_deployment.failures.take_due(AN_HOUR_MS * 10**6)
    assert len(taken) == MAX_IN_FLIGHT
    assert failing_deployment.failures.take_due(AN_HOUR_MS * 10**6) == []


def test_a_message_for_a_settled_failure_does_nothing(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    (event_id,) = failed(failing_deployment)
    failing_handler.bug = None
    failing_deployment.run_due_retries()
    tried = failing_handler.calls
    assert isinstance(failing_deployment.run_retry("refunds", event_id), Ignore)
    assert failing_handler.calls == tried
    with pytest.raises(FailureNotFoundError, match="has not failed, or has been applied since"):
        failing_deployment.failures.retry("refunds", event_id, 1)


def test_an_unexpected_message_starts_no_attempt(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    (event_id,) = failed(failing_deployment)
    tried = failing_handler.calls
    assert isinstance(failing_deployment.run_retry("refunds", event_id), Ignore)
    assert failing_handler.calls == tried


def test_a_failure_record_with_unknown_fields_is_retried_and_counted_like_any_other(
    failing_deployment: SteppedDeployment,
) -> None:
    (event_id,) = failed(failing_deployment)
    newer = msgspec.msgpack.decode(encode_failure(failing_deployment.failures.get("refunds", event_id))) | {
        "a_field_of_tomorrow": 1
    }
    failing_deployment.client.hset(keys.FAILURES, f"refunds:{event_id}", msgspec.msgpack.encode(newer))
    assert [type(told) for told in failing_deployment.run_due_retries()] == [Retry]
    assert failing_deployment.failures.get("refunds", event_id).attempts == 2


def test_failures_of_a_removed_handler_use_no_capacity_of_others(failing_deployment: SteppedDeployment) -> None:
    for number in range(MAX_IN_FLIGHT):
        gone = msgspec.structs.replace(lane_failure(number), handler="gone")
        failing_deployment.client.hset(keys.FAILURES, gone.field, encode_failure(gone))
        failing_deployment.client.zadd(keys.RETRIES, {gone.field: 1})
    failing_deployment.scheduler.send_due()
    assert failing_deployment.client.zcard(keys.IN_FLIGHT) == 0
    assert failing_deployment.client.zcard(keys.RETRIES) == MAX_IN_FLIGHT
    assert {each.state for each in failing_deployment.failures.all()} == {FailureState.RETRYING}


def lane_failure(number: int) -> Failure:
    return Failure(
        event_id=f"1732-{number}", handler="refunds", provider="instacart", reason=Reason.HANDLER_ERROR, message="", body=b"{}",
        state=FailureState.RETRYING,
    )  # fmt: skip


def test_all_failures_of_one_cause_are_applied_after_the_fix(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    failed(failing_deployment, 60)
    while failing_deployment.run_due_retries():
        pass
    assert {each.state for each in failing_deployment.failures.all()} == {FailureState.DEAD}
    failing_handler.bug = None
    for each in list(failing_deployment.failures.all()):
        failing_deployment.failures.retry(each.handler, each.event_id, 1)
    failing_deployment.run_retries_until_settled()
    assert len(refunds(failing_deployment)) == 60
    assert failures(failing_deployment.client) == {}


def test_the_error_for_celery_quotes_nothing_and_has_the_frames(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    failing_handler.bug = KeyError("jane.doe@example.com")
    event_id = dead(failing_deployment)
    assert "jane.doe" in failing_deployment.failures.get("refunds", event_id).message
    failing_deployment.failures.retry("refunds", event_id, 1)
    (told,) = failing_deployment.run_due_retries()
    assert isinstance(told, Retry)
    assert isinstance(told.exc, EventFailedError)
    assert str(told.exc) == f"handler_error: KeyError (curbside failed show refunds:{event_id})"
    shown = "".join(traceback.format_exception(told))
    assert "stepped_deployment.py" in shown, "the frames of the handler"
    assert "jane" not in shown
