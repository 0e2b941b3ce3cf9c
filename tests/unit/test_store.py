"""The workers' Valkey: what is taken, claimed and signed; the same on the fake and on the real one."""

import pytest
import redis

from schemas import keys
from tests.support.parts import Parts, status
from tests.support.waiting import wait_for
from workers.valkey.connection import UNAVAILABLE
from workers.valkey.entries import Entry


def test_what_was_appended_before_the_first_worker_started_is_handled(parts: Parts) -> None:
    before = parts.append(status("a"), status("b"))
    taken = parts.take()
    assert [entry.id for entry in taken] == before
    parts.client.xack(keys.INBOX, keys.GROUP, *before)


def test_a_group_that_is_there_already_is_left_as_it_is(parts: Parts) -> None:
    parts.append(status("a"))
    (entry,) = parts.take()
    parts.client.xack(keys.INBOX, keys.GROUP, entry.id)
    parts.store.ensure_groups([keys.INBOX])
    assert parts.take() == []


def test_a_stream_key_of_another_type_is_an_error_and_not_taken_for_a_group_that_exists(parts: Parts) -> None:
    parts.client.set(keys.INBOX, "not a stream", px=60_000)
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        parts.store.ensure_groups([keys.INBOX])


@pytest.mark.parametrize("block_ms", [None, 20])
def test_reading_an_empty_stream_gives_nothing(parts: Parts, block_ms: int | None) -> None:
    parts.store.ensure_groups([keys.INBOX])
    assert parts.store.read(keys.INBOX, "one", 10, block_ms) == []


def test_what_a_worker_took_and_did_not_finish_is_its_own_again_page_by_page(parts: Parts) -> None:
    ids = parts.append(*(status(f"order-{number}") for number in range(5)))
    parts.take()
    first = parts.store.read_own(keys.INBOX, "one", "0", 3)
    rest = parts.store.read_own(keys.INBOX, "one", first[-1].id, 3)
    assert [entry.id for entry in first + rest] == ids
    assert all(entry.fields for entry in first + rest)
    assert parts.store.read_own(keys.INBOX, "another", "0", 3) == []
    parts.client.xack(keys.INBOX, keys.GROUP, *ids)


def test_an_entry_deleted_in_a_workers_hands_has_no_fields(parts: Parts) -> None:
    (event_id,) = parts.append(status("a"))
    parts.take()
    parts.client.xdel(keys.INBOX, event_id)
    assert parts.store.read_own(keys.INBOX, "one", "0", 3) == [Entry(event_id, {})]
    parts.client.xack(keys.INBOX, keys.GROUP, event_id)


def test_only_what_lay_still_long_enough_is_taken_over(parts: Parts) -> None:
    (event_id,) = parts.append(status("a"))
    parts.take(consumer="dead")
    assert parts.store.claim(keys.INBOX, "alive", 60_000, 10) == []
    claimed = wait_for(lambda: parts.store.claim(keys.INBOX, "alive", 30, 10), what="the entry to be abandoned")
    assert [entry.id for entry in claimed] == [event_id]
    assert parts.store.claim(keys.INBOX, "alive", 60_000, 10) == [], "a claim is a new lease"
    parts.client.xack(keys.INBOX, keys.GROUP, event_id)


def test_bodies_are_redeemed_and_a_gap_is_seen(parts: Parts) -> None:
    first, second = parts.append(b"one", b"two")
    gone = "1-1"
    for near in (False, True):
        found = parts.store.load_bodies([[first, gone], [], [second]], near=near)
        assert {event_id: fields[keys.FIELD_BODY] for event_id, fields in found.items()} == {first: b"one", second: b"two"}
        assert parts.store.load_bodies([], near=near) == {}


def test_bodies_that_lie_far_apart_are_redeemed_all_the_same(parts: Parts) -> None:
    ids = parts.append(*(status(f"order-{number}") for number in range(20)))
    for checks in ([[ids[0], ids[19]]], [[ids[0]], [ids[10], ids[19]]], [ids[::-1]]):
        assert set(parts.store.load_bodies(checks, near=True)) >= {event_id for each in checks for event_id in each}


def test_a_lane_is_rung_once_until_the_bell_is_answered(parts: Parts) -> None:
    assert parts.store.queues_to_notify(["a", "b"]) == ["a", "b"]
    assert parts.store.queues_to_notify(["b", "c"]) == ["c"]
    parts.store.clear_notified("b")
    assert parts.store.queues_to_notify(["a", "b", "c"]) == ["b"]
    assert parts.store.queues_to_notify([]) == []


def test_a_lane_on_which_somebody_waits_needs_no_doorbell(parts: Parts) -> None:
    assert parts.store.set_waiter_flag("a", "me", 60_000)
    assert parts.store.queues_to_notify(["a", "b"]) == ["b"]
    parts.store.clear_waiter_flag("a", "me")
    assert parts.store.queues_to_notify(["a", "b"]) == ["a"]


def test_a_sign_belongs_to_one_worker_and_goes_by_itself_when_that_one_died(parts: Parts) -> None:
    assert parts.store.set_waiter_flag("a", "me", 30)
    assert not parts.store.set_waiter_flag("a", "you", 60_000)
    parts.store.clear_waiter_flag("a", "you")
    wait_for(lambda: parts.store.set_waiter_flag("a", "you", 60_000), what="the sign to go")
    assert parts.store.set_waiter_flag("a", "you", 60_000), "it is kept up by saying so again"


def test_a_ring_for_help_is_sent_although_somebody_waits_but_seldom(parts: Parts) -> None:
    parts.store.set_waiter_flag("a", "me", 60_000)
    assert [parts.store.try_notify("a") for _ in range(3)] == [True, False, False]


def test_what_a_lane_cannot_reach_is_said_and_taken_back(parts: Parts) -> None:
    parts.store.note_unreachable("refunds", "the database")
    assert parts.client.hgetall(keys.UNREACHABLE) == {b"refunds": b"the database"}
    parts.store.note_reachable("refunds")
    assert not parts.client.exists(keys.UNREACHABLE)


def test_a_backlog_is_seen_before_the_first_worker_while_taken_and_not_afterwards(parts: Parts) -> None:
    def seen(idle_ms: int) -> list[bool]:
        return parts.store.backlog([keys.INBOX, keys.todo("refunds")], idle_ms)

    assert seen(0) == [False, False], "there is no stream yet"
    (event_id,) = parts.append(status("a"))
    assert seen(60_000) == [True, False], "nobody has ever looked"
    parts.take()
    assert seen(60_000) == [False, False], "somebody has it in hand"
    wait_for(lambda: seen(10) == [True, False], what="the entry to be abandoned")
    parts.client.xack(keys.INBOX, keys.GROUP, event_id)
    assert seen(0) == [False, False]


def test_an_answer_that_valkey_has_no_memory_left_is_the_worlds_fault(real_parts: Parts) -> None:
    real_parts.client.config_set("maxmemory", 1)
    with pytest.raises(UNAVAILABLE):
        real_parts.store.queues_to_notify(["a"])
