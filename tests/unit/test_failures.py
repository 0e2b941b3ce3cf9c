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
from schemas.failures import Failure, FailureState, Reason, Reject, encode_failure
from tests.support.outcomes import failures
from tests.support.slow_lane import AN_HOUR_MS, Clumsy, SlowLane, slow_lane
from workers.blame import EventFailed, RetryPolicy
from workers.errors import Unreachable
from workers.failures import LEASE_MS, MAX_IN_FLIGHT, NotFailed, next_task_id

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
def lane(valkey_url: str, migrated_sqlite: Path, tmp_path: Path, clumsy: Clumsy) -> Iterator[SlowLane]:
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with slow_lane(valkey_url, f"sqlite:///{database}", [clumsy.handler(QUICK)]) as lane:
        yield lane


def failed(lane: SlowLane, count: int = 1) -> list[str]:
    """Events that failed at the handler; their ids."""
    ids = [lane.append(refund(f"o{number}")) for number in range(count)]
    lane.work()
    return ids


def dead(lane: SlowLane) -> str:
    """An event that failed as often as it may; its id."""
    (event_id,) = failed(lane)
    lane.try_until_settled()
    assert lane.failures.get("refunds", event_id).state is FailureState.DEAD
    return event_id


def refunds(lane: SlowLane) -> list[str]:
    return [row["order_id"] for row in lane.books.rows("refunds")]


def test_one_bad_event_leaves_its_batch_and_the_others_are_applied(lane: SlowLane, clumsy: Clumsy) -> None:
    clumsy.orders = frozenset({"o3"})
    ids = failed(lane, 40)
    assert len(refunds(lane)) == 39
    (failure,) = lane.failures.all()
    assert (failure.event_id, failure.attempts, failure.state) == (ids[3], 1, FailureState.RETRYING)
    assert (failure.body, failure.order_ids, failure.kind) == (refund("o3"), ("o3",), "order_item_refund")
    assert lane.sums.counters == {"routed": 40, "routed:refunds": 40, "applied:refunds": 39, "failed:refunds": 1}


def test_a_failure_is_tried_as_often_as_its_handler_says_and_then_waits_for_a_person(lane: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(lane)
    assert lane.try_until_settled() == ["Retry", "EventFailed"]
    failure = lane.failures.get("refunds", event_id)
    assert (failure.state, failure.attempts, clumsy.tried) == (FailureState.DEAD, 3, 3)
    assert lane.take_due() == []


def test_a_retry_that_succeeds_clears_the_record(lane: SlowLane, clumsy: Clumsy) -> None:
    failed(lane)
    clumsy.bug = None
    assert lane.try_until_settled() == ["applied"]
    assert lane.failures.count() == 0
    assert refunds(lane) == ["o0"]
    assert lane.sums.counters == {"routed": 1, "routed:refunds": 1, "applied:refunds": 1, "failed:refunds": 0}
    assert not lane.client.exists(keys.RETRIES, keys.IN_FLIGHT)


def test_a_refusal_is_never_tried_again_by_itself(lane: SlowLane, clumsy: Clumsy) -> None:
    clumsy.bug = Reject("sold out")
    (event_id,) = failed(lane)
    failure = lane.failures.get("refunds", event_id)
    assert (failure.state, failure.reason, failure.message) == (FailureState.DEAD, Reason.REJECTED, "sold out")
    assert lane.take_due() == []


def test_an_outage_in_a_retry_is_nobodys_fault(lane: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(lane)
    clumsy.bug = Unreachable("the loyalty service")
    for away in (1, 2, 3, 4):
        (told,) = lane.try_due()
        assert isinstance(told, Retry)
        assert "the loyalty service is unreachable" in str(told)
        failure = lane.failures.get("refunds", event_id)
        assert (failure.attempts, failure.away, failure.state) == (1, away, FailureState.RETRYING)
    assert lane.client.hgetall(keys.UNREACHABLE) == {b"refunds.retry": b"the loyalty service"}
    clumsy.bug = None
    assert lane.try_until_settled() == ["applied"]
    assert lane.client.hgetall(keys.UNREACHABLE) == {}


def test_a_lost_message_is_sent_again_when_its_lease_is_over_and_no_sooner(lane: SlowLane) -> None:
    failed(lane)
    (failure,) = lane.take_due()
    later = failure.next_at_ms + 2 * AN_HOUR_MS
    assert lane.failures.take_due(later - AN_HOUR_MS) == []
    assert [each.field for each in lane.failures.take_due(later + LEASE_MS)] == [failure.field]


def test_retries_never_fill_the_workers(lane: SlowLane) -> None:
    failed(lane, 3 * MAX_IN_FLIGHT)
    taken = lane.failures.take_due(AN_HOUR_MS * 10**6)
    assert len(taken) == MAX_IN_FLIGHT
    assert lane.failures.take_due(AN_HOUR_MS * 10**6) == []


def test_reviving_a_dead_failure_tries_it_as_a_new_task_with_all_its_tries(lane: SlowLane, clumsy: Clumsy) -> None:
    event_id = dead(lane)
    before = lane.failures.get("refunds", event_id)
    revived = lane.failures.revive("refunds", event_id, 1)
    assert (revived.task_id, revived.attempts) == (next_task_id(before.task_id), 0)
    assert lane.try_until_settled() == ["Retry", "Retry", "EventFailed"]
    clumsy.bug = None
    lane.failures.revive("refunds", event_id, 1)
    assert lane.try_until_settled() == ["applied"]
    assert refunds(lane) == ["o0"]


def test_two_operators_who_revive_the_same_failed_task_make_one_retry(lane: SlowLane) -> None:
    event_id = dead(lane)
    task = lane.failures.get("refunds", event_id).task_id
    revived = lane.failures.revive("refunds", event_id, 1, task)
    with pytest.raises(NotFailed, match=f"is being retried already, as task {revived.task_id}"):
        lane.failures.revive("refunds", event_id, 1, task)
    assert lane.failures.revive("refunds", event_id, 1).task_id == revived.task_id
    assert len(lane.take_due()) == 1
    assert lane.sums.count("failed:refunds") == 1


def test_a_retry_asked_for_while_a_worker_tries_it_happens_once_in_effect(lane: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(lane)
    (taken,) = lane.take_due()
    lane.failures.revive("refunds", event_id, 1)  # while it is tried
    clumsy.bug = None
    (again,) = lane.take_due()
    assert [lane.try_again("refunds", taken.event_id), refunds(lane)] == [None, ["o0"]]
    assert isinstance(lane.try_again("refunds", again.event_id), Ignore)
    assert lane.sums.counters["applied:refunds"] == 1
    assert refunds(lane) == ["o0"]


def test_a_try_that_fails_never_undoes_what_a_person_decided_meanwhile(lane: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(lane)
    (before,) = lane.take_due()
    lane.failures.discard("refunds", event_id, "a test order")
    assert not lane.failures.again(before, msgspec.structs.replace(before, attempts=2))
    assert lane.failures.get("refunds", event_id).note == "a test order"
    assert lane.sums.count("discarded:refunds") == 1
    assert isinstance(lane.try_again("refunds", event_id), Ignore)
    assert lane.take_due() == []


def test_what_was_applied_while_a_person_discarded_it_is_applied(lane: SlowLane) -> None:
    (event_id,) = failed(lane)
    (before,) = lane.take_due()
    lane.failures.discard("refunds", event_id, "too late")
    assert lane.failures.applied(before)
    assert not lane.failures.applied(before)
    counters = lane.sums.counters
    assert (counters["applied:refunds"], counters["failed:refunds"], counters["discarded:refunds"]) == (1, 0, 0)


def test_a_discarded_failure_keeps_its_note_and_can_be_brought_back(lane: SlowLane, clumsy: Clumsy) -> None:
    event_id = dead(lane)
    lane.failures.discard("refunds", event_id, "a test order")
    with pytest.raises(NotFailed, match="is discarded already"):
        lane.failures.discard("refunds", event_id, "again")
    assert lane.sums.count("discarded:refunds") == 1
    assert lane.take_due() == []
    clumsy.bug = None
    assert lane.failures.revive("refunds", event_id, 1).note == ""
    assert lane.sums.count("discarded:refunds") == 0
    assert lane.try_until_settled() == ["applied"]


def test_of_many_operators_who_discard_at_the_same_moment_one_does_and_the_others_are_told(lane: SlowLane) -> None:
    ids = failed(lane, 10)
    barrier = threading.Barrier(6)

    def discard(operator: int, event_id: str) -> str:
        barrier.wait(10)
        try:
            return lane.failures.discard("refunds", event_id, f"by {operator}").note
        except NotFailed:
            return ""

    with ThreadPoolExecutor(6) as pool:
        for event_id in ids:
            (told,) = [note for note in pool.map(discard, range(6), [event_id] * 6) if note]
            assert lane.failures.get("refunds", event_id).note == told
    assert lane.sums.count("discarded:refunds") == 10


def test_a_message_that_comes_after_the_record_was_dealt_with_does_nothing(lane: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(lane)
    clumsy.bug = None
    lane.try_due()
    tried = clumsy.tried
    assert isinstance(lane.try_again("refunds", event_id), Ignore)
    assert clumsy.tried == tried
    with pytest.raises(NotFailed, match="has not failed, or has been applied since"):
        lane.failures.revive("refunds", event_id, 1)


def test_a_message_that_nobody_expects_tries_nothing(lane: SlowLane, clumsy: Clumsy) -> None:
    (event_id,) = failed(lane)
    tried = clumsy.tried
    assert isinstance(lane.try_again("refunds", event_id), Ignore)
    assert clumsy.tried == tried


def test_a_record_of_a_release_that_writes_more_fields_is_tried_and_counted_like_any_other(lane: SlowLane) -> None:
    (event_id,) = failed(lane)
    newer = msgspec.msgpack.decode(encode_failure(lane.failures.get("refunds", event_id))) | {"a_field_of_tomorrow": 1}
    lane.client.hset(keys.FAILURES, f"refunds:{event_id}", msgspec.msgpack.encode(newer))
    assert [type(told) for told in lane.try_due()] == [Retry]
    assert lane.failures.get("refunds", event_id).attempts == 2


def test_failures_of_a_handler_that_is_no_longer_there_take_no_room_of_others(lane: SlowLane) -> None:
    for number in range(MAX_IN_FLIGHT):
        gone = msgspec.structs.replace(lane_failure(number), handler="gone")
        lane.client.hset(keys.FAILURES, gone.field, encode_failure(gone))
        lane.client.zadd(keys.RETRIES, {gone.field: 1})
    lane.retries.send_due()
    assert lane.client.zcard(keys.IN_FLIGHT) == 0
    assert lane.client.zcard(keys.RETRIES) == MAX_IN_FLIGHT
    assert {each.state for each in lane.failures.all()} == {FailureState.RETRYING}


def lane_failure(number: int) -> Failure:
    return Failure(
        event_id=f"1732-{number}", handler="refunds", provider="instacart", reason=Reason.HANDLER_ERROR, message="", body=b"{}",
        state=FailureState.RETRYING,
    )  # fmt: skip


def test_all_failures_of_one_cause_are_applied_after_the_fix(lane: SlowLane, clumsy: Clumsy) -> None:
    failed(lane, 60)
    while lane.try_due():
        pass
    assert {each.state for each in lane.failures.all()} == {FailureState.DEAD}
    clumsy.bug = None
    for each in list(lane.failures.all()):
        lane.failures.revive(each.handler, each.event_id, 1)
    lane.try_until_settled()
    assert len(refunds(lane)) == 60
    assert failures(lane.client) == {}


def test_what_celery_is_told_quotes_nothing_and_has_the_frames(lane: SlowLane, clumsy: Clumsy) -> None:
    clumsy.bug = KeyError("jane.doe@example.com")
    event_id = dead(lane)
    assert "jane.doe" in lane.failures.get("refunds", event_id).message
    lane.failures.revive("refunds", event_id, 1)
    (told,) = lane.try_due()
    assert isinstance(told, Retry)
    assert isinstance(told.exc, EventFailed)
    assert str(told.exc) == f"handler_error: KeyError (curbside failed show refunds:{event_id})"
    shown = "".join(traceback.format_exception(told))
    assert "slow_lane.py" in shown, "the frames of the handler"
    assert "jane" not in shown
