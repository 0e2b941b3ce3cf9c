"""The workers' store: reading, claiming and waiter flags, the same on fakeredis and Valkey."""

import pytest
import redis

from schemas import keys
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, status
from workers.valkey.connection import UNAVAILABLE
from workers.valkey.entries import Entry


def test_what_was_appended_before_the_first_worker_started_is_handled(worker_parts: WorkerParts) -> None:
    before = worker_parts.append(status("a"), status("b"))
    taken = worker_parts.read_new()
    assert [entry.id for entry in taken] == before
    worker_parts.client.xack(keys.INBOX, keys.GROUP, *before)


def test_a_group_that_is_there_already_is_left_as_it_is(worker_parts: WorkerParts) -> None:
    worker_parts.append(status("a"))
    (entry,) = worker_parts.read_new()
    worker_parts.client.xack(keys.INBOX, keys.GROUP, entry.id)
    worker_parts.store.ensure_groups([keys.INBOX])
    assert worker_parts.read_new() == []


def test_a_stream_key_of_another_type_is_an_error_and_not_taken_for_a_group_that_exists(worker_parts: WorkerParts) -> None:
    worker_parts.client.set(keys.INBOX, "not a stream", px=60_000)
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        worker_parts.store.ensure_groups([keys.INBOX])


@pytest.mark.parametrize("block_ms", [None, 20])
def test_reading_an_empty_stream_gives_nothing(worker_parts: WorkerParts, block_ms: int | None) -> None:
    worker_parts.store.ensure_groups([keys.INBOX])
    assert worker_parts.store.read(keys.INBOX, "one", 10, block_ms) == []


def test_a_workers_pending_entries_are_read_again_page_by_page(worker_parts: WorkerParts) -> None:
    ids = worker_parts.append(*(status(f"order-{number}") for number in range(5)))
    worker_parts.read_new()
    first = worker_parts.store.read_own(keys.INBOX, "one", "0", 3)
    rest = worker_parts.store.read_own(keys.INBOX, "one", first[-1].id, 3)
    assert [entry.id for entry in first + rest] == ids
    assert all(entry.fields for entry in first + rest)
    assert worker_parts.store.read_own(keys.INBOX, "another", "0", 3) == []
    worker_parts.client.xack(keys.INBOX, keys.GROUP, *ids)


def test_an_entry_deleted_while_pending_has_no_fields(worker_parts: WorkerParts) -> None:
    (event_id,) = worker_parts.append(status("a"))
    worker_parts.read_new()
    worker_parts.client.xdel(keys.INBOX, event_id)
    assert worker_parts.store.read_own(keys.INBOX, "one", "0", 3) == [Entry(event_id, {})]
    worker_parts.client.xack(keys.INBOX, keys.GROUP, event_id)


def test_only_entries_idle_for_long_enough_are_claimed(worker_parts: WorkerParts) -> None:
    (event_id,) = worker_parts.append(status("a"))
    worker_parts.read_new(consumer="dead")
    assert worker_parts.store.claim(keys.INBOX, "alive", 60_000, 10) == []
    claimed = wait_for(lambda: worker_parts.store.claim(keys.INBOX, "alive", 30, 10), what="the entry to be abandoned")
    assert [entry.id for entry in claimed] == [event_id]
    assert worker_parts.store.claim(keys.INBOX, "alive", 60_000, 10) == [], "a claim is a new lease"
    worker_parts.client.xack(keys.INBOX, keys.GROUP, event_id)


def test_bodies_are_loaded_and_a_missing_one_is_none(worker_parts: WorkerParts) -> None:
    first, second = worker_parts.append(b"one", b"two")
    gone = "1-1"
    for near in (False, True):
        found = worker_parts.store.load_bodies([[first, gone], [], [second]], near=near)
        assert {event_id: fields[keys.FIELD_BODY] for event_id, fields in found.items()} == {first: b"one", second: b"two"}
        assert worker_parts.store.load_bodies([], near=near) == {}


def test_bodies_far_apart_in_the_inbox_are_loaded(worker_parts: WorkerParts) -> None:
    ids = worker_parts.append(*(status(f"order-{number}") for number in range(20)))
    for checks in ([[ids[0], ids[19]]], [[ids[0]], [ids[10], ids[19]]], [ids[::-1]]):
        assert set(worker_parts.store.load_bodies(checks, near=True)) >= {event_id for each in checks for event_id in each}


def test_a_queue_is_notified_once_until_the_notification_is_received(worker_parts: WorkerParts) -> None:
    assert worker_parts.store.queues_to_notify(["a", "b"]) == (["a", "b"], [])
    assert worker_parts.store.queues_to_notify(["b", "c"]) == (["c"], [])
    worker_parts.store.clear_notified("b")
    assert worker_parts.store.queues_to_notify(["a", "b", "c"]) == (["b"], [])
    assert worker_parts.store.queues_to_notify([]) == ([], [])


def test_a_queue_with_a_waiting_consumer_is_not_notified(worker_parts: WorkerParts) -> None:
    assert worker_parts.store.set_waiter_flag("a", "me", 60_000)
    assert worker_parts.store.queues_to_notify(["a", "b"]) == (["b"], [])
    worker_parts.store.clear_waiter_flag("a", "me")
    assert worker_parts.store.queues_to_notify(["a", "b"]) == (["a"], [])


def test_a_waiter_flag_belongs_to_one_worker_and_expires_after_its_death(worker_parts: WorkerParts) -> None:
    assert worker_parts.store.set_waiter_flag("a", "me", 30)
    assert not worker_parts.store.set_waiter_flag("a", "you", 60_000)
    worker_parts.store.clear_waiter_flag("a", "you")
    wait_for(lambda: worker_parts.store.set_waiter_flag("a", "you", 60_000), what="the sign to go")
    assert worker_parts.store.set_waiter_flag("a", "you", 60_000), "it is kept up by saying so again"


def test_a_notification_for_a_second_worker_ignores_the_waiter_flag_and_is_rate_limited(worker_parts: WorkerParts) -> None:
    worker_parts.store.set_waiter_flag("a", "me", 60_000)
    assert [worker_parts.store.try_notify("a") for _ in range(3)] == [True, False, False]


def test_an_unavailable_dependency_of_a_queue_is_recorded_and_cleared(worker_parts: WorkerParts) -> None:
    worker_parts.store.note_unreachable("refunds", "the database")
    assert worker_parts.client.hgetall(keys.UNREACHABLE) == {b"refunds": b"the database"}
    worker_parts.store.note_reachable("refunds")
    assert not worker_parts.client.exists(keys.UNREACHABLE)


def test_a_backlog_counts_undelivered_and_pending_entries_and_no_acknowledged_ones(worker_parts: WorkerParts) -> None:
    def seen(idle_ms: int) -> list[bool]:
        return worker_parts.store.backlog([keys.INBOX, keys.todo("refunds")], idle_ms)

    assert seen(0) == [False, False], "there is no stream yet"
    (event_id,) = worker_parts.append(status("a"))
    assert seen(60_000) == [True, False], "nobody has ever looked"
    worker_parts.read_new()
    assert seen(60_000) == [False, False], "somebody has it in hand"
    wait_for(lambda: seen(10) == [True, False], what="the entry to be abandoned")
    worker_parts.client.xack(keys.INBOX, keys.GROUP, event_id)
    assert seen(0) == [False, False]


def test_an_out_of_memory_reply_of_valkey_is_a_dependency_outage(real_worker_parts: WorkerParts) -> None:
    real_worker_parts.client.config_set("maxmemory", 1)
    with pytest.raises(UNAVAILABLE):
        real_worker_parts.store.outbox_due(1)
