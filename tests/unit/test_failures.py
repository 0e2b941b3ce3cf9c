"""The record of failures: what becomes of a failed event, whoever decides at the same moment, on the fake and on a real Valkey."""

import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from celery.exceptions import Ignore, Retry

from schemas import keys
from schemas.failures import Failure, FailureState, Reason, encode_failure
from tests.support.event_sums import failures
from tests.support.stepped_deployment import AN_HOUR_MS, FailingHandler, SteppedDeployment, open_stepped_deployment
from workers.errors import DependencyUnavailableError, EventFailedError, FailureNotFoundError, PermanentError
from workers.failures.failure_store import LEASE_MS, MAX_IN_FLIGHT, next_task_id
from workers.failures.retry_policy import RetryPolicy

QUICK = RetryPolicy(attempts=3, first=timedelta(seconds=1), longest=timedelta(seconds=1))


def refund(order: str, line: str = "1") -> bytes:
    return b'{"event":"order_item_refund","order_id":"%s","items":[{"line_num":"%s","refunded":true}]}' % (
        order.encode(),
        line.encode(),
    )


@pytest.fixture
def failing_handler() -> FailingHandler:
    return FailingHandler("refunds", KeyError("a bug"))


@pytest.fixture
def stepped_deployment(
    valkey_url: str, migrated_sqlite: Path, tmp_path: Path, failing_handler: FailingHandler
) -> Iterator[SteppedDeployment]:
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with open_stepped_deployment(valkey_url, f"sqlite:///{database}", [failing_handler.handler(QUICK)]) as stepped_deployment:
        yield stepped_deployment


def failed(stepped_deployment: SteppedDeployment, count: int = 1) -> list[str]:
    """Events that failed at the handler; their ids."""
    ids = [stepped_deployment.append(refund(f"o{number}")) for number in range(count)]
    stepped_deployment.work()
    return ids


def dead(stepped_deployment: SteppedDeployment) -> str:
    """An event that failed as often as it may; its id."""
    (event_id,) = failed(stepped_deployment)
    stepped_deployment.run_retries_until_settled()
    assert stepped_deployment.failures.get("refunds", event_id).state is FailureState.DEAD
    return event_id


def refunds(stepped_deployment: SteppedDeployment) -> list[str]:
    return [row["order_id"] for row in stepped_deployment.ledger_fixture.rows("refunds")]


def test_one_bad_event_leaves_its_batch_and_the_others_are_applied(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    failing_handler.orders = frozenset({"o3"})
    ids = failed(stepped_deployment, 40)
    assert len(refunds(stepped_deployment)) == 39
    (failure,) = stepped_deployment.failures.all()
    assert (failure.event_id, failure.attempts, failure.state) == (ids[3], 1, FailureState.RETRYING)
    assert (failure.body, failure.order_ids, failure.kind) == (refund("o3"), ("o3",), "order_item_refund")
    assert stepped_deployment.sums.counters == {"routed": 40, "routed:refunds": 40, "applied:refunds": 39, "failed:refunds": 1}


def test_a_failure_is_tried_as_often_as_its_handler_says_and_then_waits_for_a_person(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    (event_id,) = failed(stepped_deployment)
    assert stepped_deployment.run_retries_until_settled() == ["Retry", "EventFailedError"]
    failure = stepped_deployment.failures.get("refunds", event_id)
    assert (failure.state, failure.attempts, failing_handler.calls) == (FailureState.DEAD, 3, 3)
    assert stepped_deployment.take_due() == []


def test_a_retry_that_succeeds_clears_the_record(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    failed(stepped_deployment)
    failing_handler.bug = None
    assert stepped_deployment.run_retries_until_settled() == ["applied"]
    assert stepped_deployment.failures.count() == 0
    assert refunds(stepped_deployment) == ["o0"]
    assert stepped_deployment.sums.counters == {"routed": 1, "routed:refunds": 1, "applied:refunds": 1, "failed:refunds": 0}
    assert not stepped_deployment.client.exists(keys.RETRIES, keys.IN_FLIGHT)


def test_a_refusal_is_never_tried_again_by_itself(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    failing_handler.bug = PermanentError("sold out")
    (event_id,) = failed(stepped_deployment)
    failure = stepped_deployment.failures.get("refunds", event_id)
    assert (failure.state, failure.reason, failure.message) == (FailureState.DEAD, Reason.REJECTED, "sold out")
    assert stepped_deployment.take_due() == []


def test_an_outage_in_a_retry_is_nobodys_fault(stepped_deployment: SteppedDeployment, failing_handler: FailingHandler) -> None:
    (event_id,) = failed(stepped_deployment)
    failing_handler.bug = DependencyUnavailableError("the loyalty service")
    for away in (1, 2, 3, 4):
        (told,) = stepped_deployment.run_due_retries()
        assert isinstance(told, Retry)
        assert "the loyalty service is unreachable" in str(told)
        failure = stepped_deployment.failures.get("refunds", event_id)
        assert (failure.attempts, failure.away, failure.state) == (1, away, FailureState.RETRYING)
    assert stepped_deployment.client.hgetall(keys.UNREACHABLE) == {b"refunds.retry": b"the loyalty service"}
    failing_handler.bug = None
    assert stepped_deployment.run_retries_until_settled() == ["applied"]
    assert stepped_deployment.client.hgetall(keys.UNREACHABLE) == {}


def test_a_lost_message_is_sent_again_when_its_lease_is_over_and_no_sooner(stepped_deployment: SteppedDeployment) -> None:
    failed(stepped_deployment)
    (failure,) = stepped_deployment.take_due()
    later = failure.next_at_ms + 2 * AN_HOUR_MS
    assert stepped_deployment.failures.take_due(later - AN_HOUR_MS) == []
    assert [each.field for each in stepped_deployment.failures.take_due(later + LEASE_MS)] == [failure.field]


def test_retries_never_fill_the_workers(stepped_deployment: SteppedDeployment) -> None:
    failed(stepped_deployment, 3 * MAX_IN_FLIGHT)
    taken = stepped_deployment.failures.take_due(AN_HOUR_MS * 10**6)
    assert len(taken) == MAX_IN_FLIGHT
    assert stepped_deployment.failures.take_due(AN_HOUR_MS * 10**6) == []


def test_reviving_a_dead_failure_tries_it_as_a_new_task_with_all_its_tries(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    event_id = dead(stepped_deployment)
    before = stepped_deployment.failures.get("refunds", event_id)
    revived = stepped_deployment.failures.retry("refunds", event_id, 1)
    assert (revived.task_id, revived.attempts) == (next_task_id(before.task_id), 0)
    assert stepped_deployment.run_retries_until_settled() == ["Retry", "Retry", "EventFailedError"]
    failing_handler.bug = None
    stepped_deployment.failures.retry("refunds", event_id, 1)
    assert stepped_deployment.run_retries_until_settled() == ["applied"]
    assert refunds(stepped_deployment) == ["o0"]


def test_two_operators_who_revive_the_same_failed_task_make_one_retry(stepped_deployment: SteppedDeployment) -> None:
    event_id = dead(stepped_deployment)
    task = stepped_deployment.failures.get("refunds", event_id).task_id
    revived = stepped_deployment.failures.retry("refunds", event_id, 1, task)
    with pytest.raises(FailureNotFoundError, match=f"is being retried already, as task {revived.task_id}"):
        stepped_deployment.failures.retry("refunds", event_id, 1, task)
    assert stepped_deployment.failures.retry("refunds", event_id, 1).task_id == revived.task_id
    assert len(stepped_deployment.take_due()) == 1
    assert stepped_deployment.sums.count("failed:refunds") == 1


def test_a_retry_asked_for_while_a_worker_tries_it_happens_once_in_effect(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    (event_id,) = failed(stepped_deployment)
    (taken,) = stepped_deployment.take_due()
    stepped_deployment.failures.retry("refunds", event_id, 1)  # while it is tried
    failing_handler.bug = None
    (again,) = stepped_deployment.take_due()
    assert [stepped_deployment.run_retry("refunds", taken.event_id), refunds(stepped_deployment)] == [None, ["o0"]]
    assert isinstance(stepped_deployment.run_retry("refunds", again.event_id), Ignore)
    assert stepped_deployment.sums.counters["applied:refunds"] == 1
    assert refunds(stepped_deployment) == ["o0"]


def test_a_try_that_fails_never_undoes_what_a_person_decided_meanwhile(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    (event_id,) = failed(stepped_deployment)
    (before,) = stepped_deployment.take_due()
    stepped_deployment.failures.discard("refunds", event_id, "a test order")
    assert not stepped_deployment.failures.record_attempt(before, msgspec.structs.replace(before, attempts=2))
    assert stepped_deployment.failures.get("refunds", event_id).note == "a test order"
    assert stepped_deployment.sums.count("discarded:refunds") == 1
    assert isinstance(stepped_deployment.run_retry("refunds", event_id), Ignore)
    assert stepped_deployment.take_due() == []


def test_what_was_applied_while_a_person_discarded_it_is_applied(stepped_deployment: SteppedDeployment) -> None:
    (event_id,) = failed(stepped_deployment)
    (before,) = stepped_deployment.take_due()
    stepped_deployment.failures.discard("refunds", event_id, "too late")
    assert stepped_deployment.failures.resolve(before)
    assert not stepped_deployment.failures.resolve(before)
    counters = stepped_deployment.sums.counters
    assert (counters["applied:refunds"], counters["failed:refunds"], counters["discarded:refunds"]) == (1, 0, 0)


def test_a_discarded_failure_keeps_its_note_and_can_be_brought_back(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    event_id = dead(stepped_deployment)
    stepped_deployment.failures.discard("refunds", event_id, "a test order")
    with pytest.raises(FailureNotFoundError, match="is discarded already"):
        stepped_deployment.failures.discard("refunds", event_id, "again")
    assert stepped_deployment.sums.count("discarded:refunds") == 1
    assert stepped_deployment.take_due() == []
    failing_handler.bug = None
    assert stepped_deployment.failures.retry("refunds", event_id, 1).note == ""
    assert stepped_deployment.sums.count("discarded:refunds") == 0
    assert stepped_deployment.run_retries_until_settled() == ["applied"]


def test_of_many_operators_who_discard_at_the_same_moment_one_does_and_the_others_are_told(
    stepped_deployment: SteppedDeployment,
) -> None:
    ids = failed(stepped_deployment, 10)
    barrier = threading.Barrier(6)

    def discard(operator: int, event_id: str) -> str:
        barrier.wait(10)
        try:
            return stepped_deployment.failures.discard("refunds", event_id, f"by {operator}").note
        except FailureNotFoundError:
            return ""

    with ThreadPoolExecutor(6) as pool:
        for event_id in ids:
            (told,) = [note for note in pool.map(discard, range(6), [event_id] * 6) if note]
            assert stepped_deployment.failures.get("refunds", event_id).note == told
    assert stepped_deployment.sums.count("discarded:refunds") == 10


def test_a_message_that_comes_after_the_record_was_dealt_with_does_nothing(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    (event_id,) = failed(stepped_deployment)
    failing_handler.bug = None
    stepped_deployment.run_due_retries()
    tried = failing_handler.calls
    assert isinstance(stepped_deployment.run_retry("refunds", event_id), Ignore)
    assert failing_handler.calls == tried
    with pytest.raises(FailureNotFoundError, match="has not failed, or has been applied since"):
        stepped_deployment.failures.retry("refunds", event_id, 1)


def test_a_message_that_nobody_expects_tries_nothing(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    (event_id,) = failed(stepped_deployment)
    tried = failing_handler.calls
    assert isinstance(stepped_deployment.run_retry("refunds", event_id), Ignore)
    assert failing_handler.calls == tried


def test_a_record_of_a_release_that_writes_more_fields_is_tried_and_counted_like_any_other(
    stepped_deployment: SteppedDeployment,
) -> None:
    (event_id,) = failed(stepped_deployment)
    newer = msgspec.msgpack.decode(encode_failure(stepped_deployment.failures.get("refunds", event_id))) | {
        "a_field_of_tomorrow": 1
    }
    stepped_deployment.client.hset(keys.FAILURES, f"refunds:{event_id}", msgspec.msgpack.encode(newer))
    assert [type(told) for told in stepped_deployment.run_due_retries()] == [Retry]
    assert stepped_deployment.failures.get("refunds", event_id).attempts == 2


def test_failures_of_a_handler_that_is_no_longer_there_take_no_room_of_others(stepped_deployment: SteppedDeployment) -> None:
    for number in range(MAX_IN_FLIGHT):
        gone = msgspec.structs.replace(lane_failure(number), handler="gone")
        stepped_deployment.client.hset(keys.FAILURES, gone.field, encode_failure(gone))
        stepped_deployment.client.zadd(keys.RETRIES, {gone.field: 1})
    stepped_deployment.scheduler.send_due()
    assert stepped_deployment.client.zcard(keys.IN_FLIGHT) == 0
    assert stepped_deployment.client.zcard(keys.RETRIES) == MAX_IN_FLIGHT
    assert {each.state for each in stepped_deployment.failures.all()} == {FailureState.RETRYING}


def lane_failure(number: int) -> Failure:
    return Failure(
        event_id=f"1732-{number}", handler="refunds", provider="instacart", reason=Reason.HANDLER_ERROR, message="", body=b"{}",
        state=FailureState.RETRYING,
    )  # fmt: skip


def test_all_failures_of_one_cause_are_applied_after_the_fix(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    failed(stepped_deployment, 60)
    while stepped_deployment.run_due_retries():
        pass
    assert {each.state for each in stepped_deployment.failures.all()} == {FailureState.DEAD}
    failing_handler.bug = None
    for each in list(stepped_deployment.failures.all()):
        stepped_deployment.failures.retry(each.handler, each.event_id, 1)
    stepped_deployment.run_retries_until_settled()
    assert len(refunds(stepped_deployment)) == 60
    assert failures(stepped_deployment.client) == {}


def test_what_celery_is_told_quotes_nothing_and_has_the_frames(
    stepped_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    failing_handler.bug = KeyError("jane.doe@example.com")
    event_id = dead(stepped_deployment)
    assert "jane.doe" in stepped_deployment.failures.get("refunds", event_id).message
    stepped_deployment.failures.retry("refunds", event_id, 1)
    (told,) = stepped_deployment.run_due_retries()
    assert isinstance(told, Retry)
    assert isinstance(told.exc, EventFailedError)
    assert str(told.exc) == f"handler_error: KeyError (curbside failed show refunds:{event_id})"
    shown = "".join(traceback.format_exception(told))
    assert "stepped_deployment.py" in shown, "the frames of the handler"
    assert "jane" not in shown
