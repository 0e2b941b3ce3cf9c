"""Concurrent decisions of operators about failures, against workers and each other, on fakeredis and Valkey."""

import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from celery.exceptions import Ignore

from tests.support.stepped_deployment import FailingHandler, SteppedDeployment
from tests.unit.failing_deployment import dead, failed, refunds
from workers.errors import FailureNotFoundError
from workers.failures.failure_store import next_task_id


def test_retrying_a_dead_failure_starts_a_new_task_with_all_attempts(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    event_id = dead(failing_deployment)
    before = failing_deployment.failures.get("refunds", event_id)
    revived = failing_deployment.failures.retry("refunds", event_id, 1)
    assert (revived.task_id, revived.attempts) == (next_task_id(before.task_id), 0)
    assert failing_deployment.run_retries_until_settled() == ["Retry", "Retry", "EventFailedError"]
    failing_handler.bug = None
    failing_deployment.failures.retry("refunds", event_id, 1)
    assert failing_deployment.run_retries_until_settled() == ["applied"]
    assert refunds(failing_deployment) == ["o0"]


def test_two_operators_who_retry_the_same_failed_task_cause_one_retry(failing_deployment: SteppedDeployment) -> None:
    event_id = dead(failing_deployment)
    task = failing_deployment.failures.get("refunds", event_id).task_id
    revived = failing_deployment.failures.retry("refunds", event_id, 1, task)
    with pytest.raises(FailureNotFoundError, match=f"is being retried already, as task {revived.task_id}"):
        failing_deployment.failures.retry("refunds", event_id, 1, task)
    assert failing_deployment.failures.retry("refunds", event_id, 1).task_id == revived.task_id
    assert len(failing_deployment.take_due()) == 1
    assert failing_deployment.sums.count("failed:refunds") == 1


def test_a_retry_requested_during_a_retry_applies_its_effect_once(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    (event_id,) = failed(failing_deployment)
    (taken,) = failing_deployment.take_due()
    failing_deployment.failures.retry("refunds", event_id, 1)  # while it is tried
    failing_handler.bug = None
    (again,) = failing_deployment.take_due()
    assert [failing_deployment.run_retry("refunds", taken.event_id), refunds(failing_deployment)] == [None, ["o0"]]
    assert isinstance(failing_deployment.run_retry("refunds", again.event_id), Ignore)
    assert failing_deployment.sums.counters["applied:refunds"] == 1
    assert refunds(failing_deployment) == ["o0"]


def test_a_failed_attempt_never_undoes_an_operators_concurrent_decision(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    (event_id,) = failed(failing_deployment)
    (before,) = failing_deployment.take_due()
    failing_deployment.failures.discard("refunds", event_id, "a test order")
    assert not failing_deployment.failures.record_attempt(before, msgspec.structs.replace(before, attempts=2))
    assert failing_deployment.failures.get("refunds", event_id).note == "a test order"
    assert failing_deployment.sums.count("discarded:refunds") == 1
    assert isinstance(failing_deployment.run_retry("refunds", event_id), Ignore)
    assert failing_deployment.take_due() == []


def test_an_event_applied_while_it_is_discarded_counts_as_applied(failing_deployment: SteppedDeployment) -> None:
    (event_id,) = failed(failing_deployment)
    (before,) = failing_deployment.take_due()
    failing_deployment.failures.discard("refunds", event_id, "too late")
    assert failing_deployment.failures.resolve(before)
    assert not failing_deployment.failures.resolve(before)
    counters = failing_deployment.sums.counters
    assert (counters["applied:refunds"], counters["failed:refunds"], counters["discarded:refunds"]) == (1, 0, 0)


def test_a_discarded_failure_keeps_its_note_and_can_be_brought_back(
    failing_deployment: SteppedDeployment, failing_handler: FailingHandler
) -> None:
    event_id = dead(failing_deployment)
    failing_deployment.failures.discard("refunds", event_id, "a test order")
    with pytest.raises(FailureNotFoundError, match="is discarded already"):
        failing_deployment.failures.discard("refunds", event_id, "again")
    assert failing_deployment.sums.count("discarded:refunds") == 1
    assert failing_deployment.take_due() == []
    failing_handler.bug = None
    assert failing_deployment.failures.retry("refunds", event_id, 1).note == ""
    assert failing_deployment.sums.count("discarded:refunds") == 0
    assert failing_deployment.run_retries_until_settled() == ["applied"]


def test_of_many_concurrent_discards_one_succeeds_and_the_others_get_an_error(
    failing_deployment: SteppedDeployment,
) -> None:
    ids = failed(failing_deployment, 10)
    barrier = threading.Barrier(6)

    def discard(operator: int, event_id: str) -> str:
        barrier.wait(10)
        try:
            return failing_deployment.failures.discard("refunds", event_id, f"by {operator}").note
        except FailureNotFoundError:
            return ""

    with ThreadPoolExecutor(6) as pool:
        for event_id in ids:
            (told,) = [note for note in pool.map(discard, range(6), [event_id] * 6) if note]
            assert failing_deployment.failures.get("refunds", event_id).note == told
    assert failing_deployment.sums.count("discarded:refunds") == 10
