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
from tests.support.outcomes import failures
from tests.support.slow_lane import AN_HOUR_MS, Clumsy, SlowLane, slow_lane
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
def clumsy() -> Clumsy:
    return Clumsy("refunds", KeyError("a bug"))


@pytest.fixture
def queue(valkey_url: str, migrated_sqlite: Path, tmp_path: Path, clumsy: Clumsy) -> Iterator[SlowLane]:
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with slow_lane(valkey_url, f"sqlite:///{database}", [clumsy.handler(QUICK)]) as queue:
        yield queue


def failed(queue: SlowLane, count: int = 1) -> list[str]:
    """Events that failed at the handler; their ids."""
    ids = [queue.append(refund(f"o{number}")) for number in range(count)]
    queue.work()
    return ids


def dead(queue: SlowLane) -> str:
    """An event that failed as often as it may; its id."""
    (event_id,) = failed(queue)
    queue.try_until_settled()
    assert queue.failures.get("refunds", event_id).state is FailureState.DEAD
    return event_id


def refunds(queue: SlowLane) -> list[str]:
    return [row["order_id"] for row in queue.books.rows("refunds")]


def test_one_bad_event_leaves_its_batch_and_the_others_are_applied(queue: SlowLane, clumsy: Clumsy) -> None:
    clumsy.orders = frozenset({"o3"})
    ids = failed(queue, 40)
    assert len(refunds(queue)) == 39
    (failure,) = queue.failures.all()
    assert (failure.event_id, failure.attempts, failure.state) == (ids[3], 1, FailureState.RETRYING)
    assert (failure.body, failure.order_ids, failure.kind) == (refund("o3"), ("o3",), "order_item_refund")
    assert queue.sums.counters == {"routed": 40, "routed:refunds": 40, "applied:refunds": 39, "failed:refunds": 1}


def test_a_failure_is_tried_as_often_as_its_handler_says_and_then_waits_for_a_person(queue: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(queue)
    assert queue.try_until_settled() == ["Retry", "EventFailedError"]
    failure = queue.failures.get("refunds", event_id)
    assert (failure.state, failure.attempts, clumsy.tried) == (FailureState.DEAD, 3, 3)
    assert queue.take_due() == []


def test_a_retry_that_succeeds_clears_the_record(queue: SlowLane, clumsy: Clumsy) -> None:
    failed(queue)
    clumsy.bug = None
    assert queue.try_until_settled() == ["applied"]
    assert queue.failures.count() == 0
    assert refunds(queue) == ["o0"]
    assert queue.sums.counters == {"routed": 1, "routed:refunds": 1, "applied:refunds": 1, "failed:refunds": 0}
    assert not queue.client.exists(keys.RETRIES, keys.IN_FLIGHT)


def test_a_refusal_is_never_tried_again_by_itself(queue: SlowLane, clumsy: Clumsy) -> None:
    clumsy.bug = PermanentError("sold out")
    (event_id,) = failed(queue)
    failure = queue.failures.get("refunds", event_id)
    assert (failure.state, failure.reason, failure.message) == (FailureState.DEAD, Reason.REJECTED, "sold out")
    assert queue.take_due() == []


def test_an_outage_in_a_retry_is_nobodys_fault(queue: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(queue)
    clumsy.bug = DependencyUnavailableError("the loyalty service")
    for away in (1, 2, 3, 4):
        (told,) = queue.try_due()
        assert isinstance(told, Retry)
        assert "the loyalty service is unreachable" in str(told)
        failure = queue.failures.get("refunds", event_id)
        assert (failure.attempts, failure.away, failure.state) == (1, away, FailureState.RETRYING)
    assert queue.client.hgetall(keys.UNREACHABLE) == {b"refunds.retry": b"the loyalty service"}
    clumsy.bug = None
    assert queue.try_until_settled() == ["applied"]
    assert queue.client.hgetall(keys.UNREACHABLE) == {}


def test_a_lost_message_is_sent_again_when_its_lease_is_over_and_no_sooner(queue: SlowLane) -> None:
    failed(queue)
    (failure,) = queue.take_due()
    later = failure.next_at_ms + 2 * AN_HOUR_MS
    assert queue.failures.take_due(later - AN_HOUR_MS) == []
    assert [each.field for each in queue.failures.take_due(later + LEASE_MS)] == [failure.field]


def test_retries_never_fill_the_workers(queue: SlowLane) -> None:
    failed(queue, 3 * MAX_IN_FLIGHT)
    taken = queue.failures.take_due(AN_HOUR_MS * 10**6)
    assert len(taken) == MAX_IN_FLIGHT
    assert queue.failures.take_due(AN_HOUR_MS * 10**6) == []


def test_reviving_a_dead_failure_tries_it_as_a_new_task_with_all_its_tries(queue: SlowLane, clumsy: Clumsy) -> None:
    event_id = dead(queue)
    before = queue.failures.get("refunds", event_id)
    revived = queue.failures.retry("refunds", event_id, 1)
    assert (revived.task_id, revived.attempts) == (next_task_id(before.task_id), 0)
    assert queue.try_until_settled() == ["Retry", "Retry", "EventFailedError"]
    clumsy.bug = None
    queue.failures.retry("refunds", event_id, 1)
    assert queue.try_until_settled() == ["applied"]
    assert refunds(queue) == ["o0"]


def test_two_operators_who_revive_the_same_failed_task_make_one_retry(queue: SlowLane) -> None:
    event_id = dead(queue)
    task = queue.failures.get("refunds", event_id).task_id
    revived = queue.failures.retry("refunds", event_id, 1, task)
    with pytest.raises(FailureNotFoundError, match=f"is being retried already, as task {revived.task_id}"):
        queue.failures.retry("refunds", event_id, 1, task)
    assert queue.failures.retry("refunds", event_id, 1).task_id == revived.task_id
    assert len(queue.take_due()) == 1
    assert queue.sums.count("failed:refunds") == 1


def test_a_retry_asked_for_while_a_worker_tries_it_happens_once_in_effect(queue: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(queue)
    (taken,) = queue.take_due()
    queue.failures.retry("refunds", event_id, 1)  # while it is tried
    clumsy.bug = None
    (again,) = queue.take_due()
    assert [queue.try_again("refunds", taken.event_id), refunds(queue)] == [None, ["o0"]]
    assert isinstance(queue.try_again("refunds", again.event_id), Ignore)
    assert queue.sums.counters["applied:refunds"] == 1
    assert refunds(queue) == ["o0"]


def test_a_try_that_fails_never_undoes_what_a_person_decided_meanwhile(queue: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(queue)
    (before,) = queue.take_due()
    queue.failures.discard("refunds", event_id, "a test order")
    assert not queue.failures.record_attempt(before, msgspec.structs.replace(before, attempts=2))
    assert queue.failures.get("refunds", event_id).note == "a test order"
    assert queue.sums.count("discarded:refunds") == 1
    assert isinstance(queue.try_again("refunds", event_id), Ignore)
    assert queue.take_due() == []


def test_what_was_applied_while_a_person_discarded_it_is_applied(queue: SlowLane) -> None:
    (event_id,) = failed(queue)
    (before,) = queue.take_due()
    queue.failures.discard("refunds", event_id, "too late")
    assert queue.failures.resolve(before)
    assert not queue.failures.resolve(before)
    counters = queue.sums.counters
    assert (counters["applied:refunds"], counters["failed:refunds"], counters["discarded:refunds"]) == (1, 0, 0)


def test_a_discarded_failure_keeps_its_note_and_can_be_brought_back(queue: SlowLane, clumsy: Clumsy) -> None:
    event_id = dead(queue)
    queue.failures.discard("refunds", event_id, "a test order")
    with pytest.raises(FailureNotFoundError, match="is discarded already"):
        queue.failures.discard("refunds", event_id, "again")
    assert queue.sums.count("discarded:refunds") == 1
    assert queue.take_due() == []
    clumsy.bug = None
    assert queue.failures.retry("refunds", event_id, 1).note == ""
    assert queue.sums.count("discarded:refunds") == 0
    assert queue.try_until_settled() == ["applied"]


def test_of_many_operators_who_discard_at_the_same_moment_one_does_and_the_others_are_told(queue: SlowLane) -> None:
    ids = failed(queue, 10)
    barrier = threading.Barrier(6)

    def discard(operator: int, event_id: str) -> str:
        barrier.wait(10)
        try:
            return queue.failures.discard("refunds", event_id, f"by {operator}").note
        except FailureNotFoundError:
            return ""

    with ThreadPoolExecutor(6) as pool:
        for event_id in ids:
            (told,) = [note for note in pool.map(discard, range(6), [event_id] * 6) if note]
            assert queue.failures.get("refunds", event_id).note == told
    assert queue.sums.count("discarded:refunds") == 10


def test_a_message_that_comes_after_the_record_was_dealt_with_does_nothing(queue: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(queue)
    clumsy.bug = None
    queue.try_due()
    tried = clumsy.tried
    assert isinstance(queue.try_again("refunds", event_id), Ignore)
    assert clumsy.tried == tried
    with pytest.raises(FailureNotFoundError, match="has not failed, or has been applied since"):
        queue.failures.retry("refunds", event_id, 1)


def test_a_message_that_nobody_expects_tries_nothing(queue: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(queue)
    tried = clumsy.tried
    assert isinstance(queue.try_again("refunds", event_id), Ignore)
    assert clumsy.tried == tried


def test_a_record_of_a_release_that_writes_more_fields_is_tried_and_counted_like_any_other(queue: SlowLane) -> None:
    (event_id,) = failed(queue)
    newer = msgspec.msgpack.decode(encode_failure(queue.failures.get("refunds", event_id))) | {"a_field_of_tomorrow": 1}
    queue.client.hset(keys.FAILURES, f"refunds:{event_id}", msgspec.msgpack.encode(newer))
    assert [type(told) for told in queue.try_due()] == [Retry]
    assert queue.failures.get("refunds", event_id).attempts == 2


def test_failures_of_a_handler_that_is_no_longer_there_take_no_room_of_others(queue: SlowLane) -> None:
    for number in range(MAX_IN_FLIGHT):
        gone = msgspec.structs.replace(lane_failure(number), handler="gone")
        queue.client.hset(keys.FAILURES, gone.field, encode_failure(gone))
        queue.client.zadd(keys.RETRIES, {gone.field: 1})
    queue.scheduler.send_due()
    assert queue.client.zcard(keys.IN_FLIGHT) == 0
    assert queue.client.zcard(keys.RETRIES) == MAX_IN_FLIGHT
    assert {each.state for each in queue.failures.all()} == {FailureState.RETRYING}


def lane_failure(number: int) -> Failure:
    return Failure(
        event_id=f"1732-{number}", handler="refunds", provider="instacart", reason=Reason.HANDLER_ERROR, message="", body=b"{}",
        state=FailureState.RETRYING,
    )  # fmt: skip


def test_all_failures_of_one_cause_are_applied_after_the_fix(queue: SlowLane, clumsy: Clumsy) -> None:
    failed(queue, 60)
    while queue.try_due():
        pass
    assert {each.state for each in queue.failures.all()} == {FailureState.DEAD}
    clumsy.bug = None
    for each in list(queue.failures.all()):
        queue.failures.retry(each.handler, each.event_id, 1)
    queue.try_until_settled()
    assert len(refunds(queue)) == 60
    assert failures(queue.client) == {}


def test_what_celery_is_told_quotes_nothing_and_has_the_frames(queue: SlowLane, clumsy: Clumsy) -> None:
    clumsy.bug = KeyError("jane.doe@example.com")
    event_id = dead(queue)
    assert "jane.doe" in queue.failures.get("refunds", event_id).message
    queue.failures.retry("refunds", event_id, 1)
    (told,) = queue.try_due()
    assert isinstance(told, Retry)
    assert isinstance(told.exc, EventFailedError)
    assert str(told.exc) == f"handler_error: KeyError (curbside failed show refunds:{event_id})"
    shown = "".join(traceback.format_exception(told))
    assert "slow_lane.py" in shown, "the frames of the handler"
    assert "jane" not in shown
