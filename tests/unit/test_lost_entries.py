"""Entries that are no longer pending although nobody has handled them: their consumer was deleted while it had them."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from schemas import keys
from tests.support.event_sums import BUILT_IN, failures, pending
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, refund, status
from tests.unit.dispatching import CUT_OFF, dispatcher_of
from workers.housekeeping import Housekeeping
from workers.valkey.entries import Batch, events_in
from workers.valkey.store import HandledCheck, Store


@pytest.fixture
def parts(real_server: RealValkey) -> Iterator[WorkerParts]:
    made = WorkerParts(real_server.url)
    yield made
    made.close()


def delete_consumer(parts: WorkerParts, stream: str, consumer: str) -> int:
    """As the housekeeping of release 0.1 does, or a person by hand."""
    return int(parts.client.xgroup_delconsumer(stream, keys.GROUP, consumer))


def idle_longer_than(parts: WorkerParts, stream: str, idle_ms: int) -> None:
    def is_idle() -> bool:
        return all(each["idle"] > idle_ms for each in parts.client.xinfo_consumers(stream, keys.GROUP))

    wait_for(is_idle, what="every consumer to be idle")


def test_a_consumer_that_has_just_taken_entries_is_not_removed_however_long_it_was_idle(parts: WorkerParts) -> None:
    for stream in (keys.INBOX, keys.todo("customer_mia")):
        parts.client.xadd(stream, {"e": "1-0"})
        parts.read_new(stream, "busy")
        parts.store.read(stream, "idle", 1)
        idle_longer_than(parts, stream, 10)
        parts.store.remove_idle_consumers(stream, 10)
        assert [each["name"] for each in parts.client.xinfo_consumers(stream, keys.GROUP)] == [b"busy"]
        parts.client.xack(stream, keys.GROUP, parts.client.xrange(stream)[0][0])
        idle_longer_than(parts, stream, 10)
        parts.store.remove_idle_consumers(stream, 10_000)
        assert parts.client.xinfo_consumers(stream, keys.GROUP), "it is not idle for so long"
        parts.store.remove_idle_consumers(stream, 10)
        assert not parts.client.xinfo_consumers(stream, keys.GROUP)


def test_the_check_and_the_removal_of_consumers_are_one_command_to_everybody_else(parts: WorkerParts) -> None:
    parts.read_new(keys.INBOX)
    parts.store.remove_idle_consumers(keys.INBOX, 10)
    parts.client.config_resetstat()
    parts.store.remove_idle_consumers(keys.INBOX, 10)
    calls = {name.removeprefix("cmdstat_") for name in parts.client.info("commandstats")}
    assert "evalsha" in calls
    assert calls <= {"evalsha", "xinfo|consumers", "xgroup|delconsumer", "config|resetstat"}


@pytest.mark.parametrize("knows_takeovers", [True, False], ids=["running", "restarted"])
def test_entries_whose_consumer_was_deleted_before_their_commit_have_an_outcome(
    parts: WorkerParts, knows_takeovers: bool
) -> None:
    again = status("again")
    parts.append(again)
    dispatcher_of(parts)(parts.read_new())
    if not knows_takeovers:
        parts.store = Store(parts.client)
    ids = parts.append(status("a"), again, refund("b", "bread"), CUT_OFF)
    batch = parts.read_new()
    assert delete_consumer(parts, keys.INBOX, "one") == 4
    dispatcher_of(parts)(batch)
    looked = parts.sums()
    assert (looked.count("routed"), looked.count("duplicate"), looked.count("undecodable")) == (3, 1, 1)
    assert parts.waiting_for("timeline")[1:] == [ids[0], ids[2]]
    assert list(failures(parts.client)) == [f"dispatch:{ids[3]}"]


def test_entries_that_were_claimed_and_then_lost_have_an_outcome(parts: WorkerParts) -> None:
    again = status("again")
    parts.append(again)
    dispatcher_of(parts)(parts.read_new())
    parts.append(status("a"), again, CUT_OFF)
    parts.read_new(consumer="dead")
    batch = parts.store.claim(keys.INBOX, "alive", 0, 100)
    assert delete_consumer(parts, keys.INBOX, "alive") == 3
    dispatcher_of(parts)(batch)
    looked = parts.sums()
    assert (looked.count("routed"), looked.count("duplicate"), looked.count("undecodable")) == (2, 1, 1)


def test_a_batch_whose_commit_was_not_answered_counts_once_although_it_is_dispatched_again(parts: WorkerParts) -> None:
    dispatcher_of(parts)(_read(parts, status("first")))
    again = status("a")
    batch = _read(parts, again, again, CUT_OFF)
    assert isinstance(batch, Batch)
    assert batch.taken_over is not None
    for _ in range(3):
        dispatcher_of(parts)(batch)
        looked = parts.sums()
        assert (looked.count("routed"), looked.count("duplicate"), looked.count("undecodable")) == (2, 1, 1)
    assert pending(parts.client) == 0


def test_a_batch_that_another_dispatcher_finished_counts_once_although_its_consumer_was_deleted(parts: WorkerParts) -> None:
    again = status("a")
    slow = _read(parts, again, again, CUT_OFF)
    dispatcher_of(parts)(parts.store.claim(keys.INBOX, "quick", 0, 100))
    delete_consumer(parts, keys.INBOX, "one")
    dispatcher_of(parts)(slow)
    looked = parts.sums()
    assert (looked.count("routed"), looked.count("duplicate"), looked.count("undecodable")) == (1, 1, 1)


def test_a_duplicate_that_release_0_1_acknowledged_without_a_record_counts_once(parts: WorkerParts) -> None:
    again = status("a")
    slow = _read(parts, again, again)
    dispatcher_of(parts)(parts.store.claim(keys.INBOX, "of-release-0.1", 0, 100))
    for bucket in parts.client.scan_iter(f"{keys.SEEN_PREFIX}*"):
        parts.client.hdel(bucket, *(field for field in parts.client.hkeys(bucket) if field.startswith(b"#")))
    dispatcher_of(parts)(slow)
    assert (parts.sums().count("routed"), parts.sums().count("duplicate")) == (1, 1)


def test_a_claim_check_that_was_lost_with_its_consumer_is_handled_after_the_next_housekeeping(parts: WorkerParts) -> None:
    dispatcher_of(parts)(_read(parts, status("a"), status("b")))
    stream = keys.todo("timeline")
    (lost,) = parts.read_new(stream)
    dispatcher_of(parts)(_read(parts, status("c")))
    (kept,) = parts.read_new(stream, "another")
    delete_consumer(parts, stream, "one")
    assert parts.store.claim(stream, "alive", 0, 10) == [kept], "the other is pending no more"
    Housekeeping(parts.store, BUILT_IN, timedelta(hours=1)).run()
    found = parts.store.claim(stream, "alive", 0, 10)
    assert found == [lost, kept]
    parts.store.ack_batch("timeline", [HandledCheck(each.id, events_in(each), 0, ()) for each in found])
    assert parts.sums().count("applied:timeline") == 3
    assert pending(parts.client) == 0


def _read(parts: WorkerParts, *bodies: bytes) -> Batch:
    parts.append(*bodies)
    batch = parts.read_new()
    assert isinstance(batch, Batch)
    return batch
