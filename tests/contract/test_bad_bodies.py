"""Bodies that nobody can decode: kept byte for byte with a reason that names the place, and decoded by a release that can."""

import pytest

from schemas import keys
from schemas.decoding import decode
from schemas.failures import FailureState, Reason
from tests.payloads import recorded
from tests.support.slow_lane import SlowLane
from tests.unit.test_undecodable import BAD, GOOD, SECRET
from workers.errors import EventFailedError

HUGE = [
    ("instacart", b'{"event":"picking","order_id":"o","x":"' + b"y" * 10_000_000, "MALFORMED", "$: expected JSON, got a body"),
    ("instacart", b"y" * 10_000_000, "MALFORMED", "$: expected JSON, got invalid character (byte 0)"),
    ("a provider of tomorrow", b'{"event":"picking"}', "UNKNOWN_PROVIDER", "provider: expected one of instacart, afosto, got"),
]
ALL = [*BAD, *HUGE]
REFUND = recorded("instacart/flat/order_item_refund")


def test_every_kind_of_bad_body_ends_as_one_failure_with_its_bytes_and_the_place(queue: SlowLane) -> None:
    assert len(ALL) >= 40
    bad = {queue.append(body, provider): (provider, body, reason, message) for provider, body, reason, message in ALL}
    good = [queue.append(body) for body in GOOD]
    queue.work()
    found = {each.event_id: each for each in queue.failures.all()}
    assert found.keys() == bad.keys(), "the odd ones that can be placed are no failures"
    for event_id, (provider, body, reason, message) in bad.items():
        failure = found[event_id]
        assert (failure.provider, failure.body, failure.reason) == (provider, body, Reason[reason])
        assert failure.message.startswith(message)
        assert SECRET not in failure.message
        assert (failure.handler, failure.state, failure.traceback) == (keys.DISPATCH, FailureState.DEAD, None)
    counters = queue.sums.counters
    assert (counters["undecodable"], counters["routed"] + counters.get("duplicate", 0)) == (len(ALL), len(good))
    assert len(queue.books.rows("order_events")) == counters["routed"]


def test_a_retry_that_still_cannot_decode_says_why_again(queue: SlowLane) -> None:
    event_id = queue.append(b'{"event":"picking"}')
    queue.dispatch()
    before = queue.failures.get("dispatch", event_id)
    queue.failures.retry("dispatch", event_id, 1)
    (told,) = queue.try_due()
    assert isinstance(told, EventFailedError)
    assert str(told) == f"no_order: DecodeError: {before.message} (curbside failed show dispatch:{event_id})"
    after = queue.failures.get("dispatch", event_id)
    assert (after.state, after.reason, after.message, after.body) == (
        FailureState.DEAD,
        before.reason,
        before.message,
        before.body,
    )


@pytest.mark.parametrize("trimmed", [False, True], ids=["kept", "trimmed"])
def test_a_release_that_can_decode_it_carries_on_as_if_it_were_new(queue: SlowLane, trimmed: bool) -> None:
    event_id = queue.append(REFUND)
    queue.append(b'{"event":"an event of tomorrow","order_id":"o"}')
    queue.dispatch_with_an_older_release()
    assert queue.sums.count("undecodable") == 2
    if trimmed:
        queue.client.xtrim(keys.INBOX, maxlen=0, approximate=False)
    for failure in list(queue.failures.all()):
        queue.failures.retry(failure.handler, failure.event_id, 1)
    assert queue.try_due() == [None, None]
    queue.work()
    assert queue.failures.count() == 0
    assert [row["event_id"] for row in queue.books.rows("refunds")] == [event_id]
    counters = queue.sums.counters
    assert (counters["undecodable"], counters["routed"], counters["unrecognised"]) == (0, 2, 1)
    assert queue.client.hgetall(keys.UNRECOGNISED) == {b"an event of tomorrow": b"1"}


def test_redeliveries_of_it_are_dropped_whichever_was_decoded_first(queue: SlowLane) -> None:
    first = queue.append(REFUND)
    second = queue.append(REFUND)
    queue.dispatch_with_an_older_release()
    queue.append(REFUND)  # the newer release is there, and routes this one
    queue.work()
    for event_id in (first, second):
        queue.failures.retry("dispatch", event_id, 1)
    assert queue.try_due() == [None, None]
    queue.work()
    counters = queue.sums.counters
    assert (counters["routed"], counters["duplicate"], counters["undecodable"]) == (1, 2, 0)
    assert len(queue.books.rows("refunds")) == 1


def test_a_redelivery_after_it_was_decoded_at_last_is_dropped(queue: SlowLane) -> None:
    event_id = queue.append(REFUND)
    queue.dispatch_with_an_older_release()
    queue.failures.retry("dispatch", event_id, 1)
    queue.try_due()
    queue.append(REFUND)
    queue.work()
    assert (queue.sums.counters["routed"], queue.sums.counters["duplicate"]) == (1, 1)


def test_one_that_was_discarded_while_it_was_decoded_stays_discarded(queue: SlowLane) -> None:
    event_id = queue.append(REFUND)
    queue.dispatch_with_an_older_release()
    queue.failures.retry("dispatch", event_id, 1)
    (taken,) = queue.take_due()
    discarded = queue.failures.discard("dispatch", event_id, "a test order")

    event = decode("instacart", taken.body, event_id, queue.zone)
    assert not queue.failures.resolve_decoded(taken, event, ["refunds"], queue.seen_ms)
    assert queue.failures.get("dispatch", event_id) == discarded
    assert queue.sums.count("undecodable") == 1


def test_one_whose_body_was_lost_says_so_at_every_retry(queue: SlowLane) -> None:
    event_id = queue.append(REFUND)
    queue.dispatch()
    queue.client.xdel(keys.INBOX, event_id)
    queue.handle()
    fields = {each.field: each for each in queue.failures.all()}
    assert fields.keys() == {f"timeline:{event_id}", f"refunds:{event_id}"}
    for _ in range(2):
        queue.failures.retry("refunds", event_id, 1)
        (told,) = queue.try_due()
        assert "body_missing: DecodeError: its body is no longer in the inbox" in str(told)
    assert queue.sums.count("failed:refunds") == 1
