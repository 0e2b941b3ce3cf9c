"""Bodies that nobody can decode: kept byte for byte with a reason that names the place, and decoded by a release that can."""

import pytest

from schemas import keys
from schemas.decoding import decode
from schemas.failures import FailureState, Reason
from tests.payloads import recorded
from tests.support.slow_lane import SlowLane
from tests.unit.test_undecodable import BAD, GOOD, SECRET
from workers.blame import EventFailed

HUGE = [
    ("instacart", b'{"event":"picking","order_id":"o","x":"' + b"y" * 10_000_000, "MALFORMED", "$: expected JSON, got a body"),
    ("instacart", b"y" * 10_000_000, "MALFORMED", "$: expected JSON, got invalid character (byte 0)"),
    ("a provider of tomorrow", b'{"event":"picking"}', "UNKNOWN_PROVIDER", "provider: expected one of instacart, afosto, got"),
]
ALL = [*BAD, *HUGE]
REFUND = recorded("instacart/flat/order_item_refund")


def test_every_kind_of_bad_body_ends_as_one_failure_with_its_bytes_and_the_place(lane: SlowLane) -> None:
    assert len(ALL) >= 40
    bad = {lane.append(body, provider): (provider, body, reason, message) for provider, body, reason, message in ALL}
    good = [lane.append(body) for body in GOOD]
    lane.work()
    found = {each.event_id: each for each in lane.failures.all()}
    assert found.keys() == bad.keys(), "the odd ones that can be placed are no failures"
    for event_id, (provider, body, reason, message) in bad.items():
        failure = found[event_id]
        assert (failure.provider, failure.body, failure.reason) == (provider, body, Reason[reason])
        assert failure.message.startswith(message)
        assert SECRET not in failure.message
        assert (failure.handler, failure.state, failure.traceback) == (keys.DRAIN, FailureState.DEAD, None)
    counters = lane.sums.counters
    assert (counters["undecodable"], counters["routed"] + counters.get("duplicate", 0)) == (len(ALL), len(good))
    assert len(lane.books.rows("order_events")) == counters["routed"]


def test_a_retry_that_still_cannot_decode_says_why_again(lane: SlowLane) -> None:
    event_id = lane.append(b'{"event":"picking"}')
    lane.drain()
    before = lane.failures.get("drain", event_id)
    lane.failures.revive("drain", event_id, 1)
    (told,) = lane.try_due()
    assert isinstance(told, EventFailed)
    assert str(told) == f"no_order: Undecodable: {before.message} (curbside failed show drain:{event_id})"
    after = lane.failures.get("drain", event_id)
    assert (after.state, after.reason, after.message, after.body) == (
        FailureState.DEAD,
        before.reason,
        before.message,
        before.body,
    )


@pytest.mark.parametrize("trimmed", [False, True], ids=["kept", "trimmed"])
def test_a_release_that_can_decode_it_carries_on_as_if_it_were_new(lane: SlowLane, trimmed: bool) -> None:
    event_id = lane.append(REFUND)
    lane.append(b'{"event":"an event of tomorrow","order_id":"o"}')
    lane.drain_with_an_older_release()
    assert lane.sums.count("undecodable") == 2
    if trimmed:
        lane.client.xtrim(keys.INBOX, maxlen=0, approximate=False)
    for failure in list(lane.failures.all()):
        lane.failures.revive(failure.handler, failure.event_id, 1)
    assert lane.try_due() == [None, None]
    lane.work()
    assert lane.failures.count() == 0
    assert [row["event_id"] for row in lane.books.rows("refunds")] == [event_id]
    counters = lane.sums.counters
    assert (counters["undecodable"], counters["routed"], counters["unrecognised"]) == (0, 2, 1)
    assert lane.client.hgetall(keys.UNRECOGNISED) == {b"an event of tomorrow": b"1"}


def test_redeliveries_of_it_are_dropped_whichever_was_decoded_first(lane: SlowLane) -> None:
    first = lane.append(REFUND)
    second = lane.append(REFUND)
    lane.drain_with_an_older_release()
    lane.append(REFUND)  # the newer release is there, and routes this one
    lane.work()
    for event_id in (first, second):
        lane.failures.revive("drain", event_id, 1)
    assert lane.try_due() == [None, None]
    lane.work()
    counters = lane.sums.counters
    assert (counters["routed"], counters["duplicate"], counters["undecodable"]) == (1, 2, 0)
    assert len(lane.books.rows("refunds")) == 1


def test_a_redelivery_after_it_was_decoded_at_last_is_dropped(lane: SlowLane) -> None:
    event_id = lane.append(REFUND)
    lane.drain_with_an_older_release()
    lane.failures.revive("drain", event_id, 1)
    lane.try_due()
    lane.append(REFUND)
    lane.work()
    assert (lane.sums.counters["routed"], lane.sums.counters["duplicate"]) == (1, 1)


def test_one_that_was_discarded_while_it_was_decoded_stays_discarded(lane: SlowLane) -> None:
    event_id = lane.append(REFUND)
    lane.drain_with_an_older_release()
    lane.failures.revive("drain", event_id, 1)
    (taken,) = lane.take_due()
    discarded = lane.failures.discard("drain", event_id, "a test order")

    event = decode("instacart", taken.body, event_id, lane.zone)
    assert not lane.failures.decoded(taken, event, ["refunds"], lane.seen_ms)
    assert lane.failures.get("drain", event_id) == discarded
    assert lane.sums.count("undecodable") == 1


def test_one_whose_body_was_lost_says_so_at_every_retry(lane: SlowLane) -> None:
    event_id = lane.append(REFUND)
    lane.drain()
    lane.client.xdel(keys.INBOX, event_id)
    lane.handle()
    fields = {each.field: each for each in lane.failures.all()}
    assert fields.keys() == {f"timeline:{event_id}", f"refunds:{event_id}"}
    for _ in range(2):
        lane.failures.revive("refunds", event_id, 1)
        (told,) = lane.try_due()
        assert "body_missing: Undecodable: its body is no longer in the inbox" in str(told)
    assert lane.sums.count("failed:refunds") == 1
