"""Housekeeping bounds the size of Valkey and never trims an event that still waits."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import keys
from schemas.stream_groups import stream_id
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, status
from workers import housekeeping as housekeeping_module
from workers.housekeeping import Housekeeping

HANDLERS = ("timeline", "refunds")
RETENTION = timedelta(minutes=10)


@pytest.fixture
def exact(real_worker_parts: WorkerParts) -> Iterator[WorkerParts]:
    """A Valkey whose streams have nodes of one entry, so that trimming is seen at once. The fake trims by rules of its own."""
    real_worker_parts.client.config_set("stream-node-max-entries", 1)
    yield real_worker_parts
    real_worker_parts.client.config_set("stream-node-max-entries", 100)


@dataclass
class State:
    """A moment in the life of a deployment. Of events 0, 1, … `taken` have been read by a dispatcher; of those some are acknowledged, and
    of those some wait for handlers."""

    ages_minutes: list[int]
    taken: int
    acknowledged: set[int]
    waiting: dict[str, list[int]] = field(default_factory=dict)

    @property
    def needed(self) -> set[int]:
        """Events whose bodies are still needed."""
        undrained = set(range(len(self.ages_minutes))) - self.acknowledged
        return undrained.union(*self.waiting.values())


@st.composite
def states(draw: st.DrawFn) -> State:
    ages = sorted(draw(st.lists(st.integers(0, 20), max_size=12)), reverse=True)
    taken = draw(st.integers(0, len(ages)))
    acknowledged = draw(st.sets(st.sampled_from(range(taken)))) if taken else set()
    some = st.lists(st.sampled_from(sorted(acknowledged)), max_size=4) if acknowledged else st.just([])
    return State(ages, taken, acknowledged, {name: draw(some) for name in HANDLERS})


def set_up(worker_parts: WorkerParts, state: State, now_ms: int) -> list[str]:
    """Bring a Valkey into this state; the event ids."""
    worker_parts.client.flushall()
    worker_parts.store.ensure_groups([keys.INBOX, *map(keys.todo, HANDLERS)])
    ids = [f"{now_ms - 60_000 * age}-{number}" for number, age in enumerate(state.ages_minutes)]
    for event_id in ids:
        worker_parts.client.xadd(keys.INBOX, {keys.FIELD_BODY: b"body"}, id=event_id)
    if state.taken:
        worker_parts.read_new(count=state.taken)
    if state.acknowledged:
        worker_parts.client.xack(keys.INBOX, keys.GROUP, *(ids[number] for number in state.acknowledged))
    for handler, numbers in state.waiting.items():
        for number in numbers:
            worker_parts.client.xadd(keys.todo(handler), {keys.FIELD_EVENT: ids[number]})
    return ids


def kept(worker_parts: WorkerParts) -> set[str]:
    return {entry_id.decode() for entry_id, _ in worker_parts.client.xrange(keys.INBOX)}


any_state = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@any_state
@given(state=states())
def test_no_event_that_still_waits_is_ever_trimmed(worker_parts: WorkerParts, state: State) -> None:
    ids = set_up(worker_parts, state, int(time.time() * 1000))
    Housekeeping(worker_parts.store, HANDLERS, RETENTION).run()
    assert {ids[number] for number in state.needed} <= kept(worker_parts)
    worker_parts.client.flushall()


@any_state
@given(state=states())
def test_what_is_old_and_handled_is_trimmed_and_nothing_that_waits(exact: WorkerParts, state: State) -> None:
    now_ms = int(time.time() * 1000)
    ids = set_up(exact, state, now_ms)
    Housekeeping(exact.store, HANDLERS, RETENTION).run()
    assert {ids[number] for number in state.needed} <= kept(exact)
    oldest_needed = min([*map(stream_id, (ids[number] for number in state.needed)), (1 << 62, 0)])
    last_taken = stream_id(ids[state.taken - 1]) if state.taken else (0, 0)
    may_go = min(oldest_needed, (now_ms - int(RETENTION.total_seconds() * 1000) - 60_000, 0), last_taken)
    assert not {each for each in kept(exact) if stream_id(each) < may_go}
    exact.client.flushall()


def test_events_younger_than_the_retention_are_kept_for_replay(exact: WorkerParts) -> None:
    now_ms = int(time.time() * 1000)
    ids = set_up(exact, State([15, 12, 9, 1], 4, {0, 1, 2, 3}), now_ms)
    Housekeeping(exact.store, HANDLERS, RETENTION).run()
    assert kept(exact) == set(ids[2:])


def test_a_retention_that_reaches_before_1970_keeps_every_event(worker_parts: WorkerParts) -> None:
    now_ms = int(time.time() * 1000)
    ids = set_up(worker_parts, State([15, 9], 2, {0, 1}), now_ms)
    housekeeping = Housekeeping(worker_parts.store, HANDLERS, timedelta(days=36_500))
    housekeeping.run()
    assert kept(worker_parts) == set(ids)
    assert housekeeping.trim_limit(now_ms) == (0, 0)


@pytest.mark.parametrize("waits", ["in the inbox", "in hand", "for a handler"])
def test_one_old_event_that_waits_keeps_what_came_after_it(exact: WorkerParts, waits: str) -> None:
    states = {
        "in the inbox": State([30, 20, 15], 1, {0}),
        "in hand": State([30, 20, 15], 3, {0, 2}),
        "for a handler": State([30, 20, 15], 3, {0, 1, 2}, {"refunds": [1]}),
    }
    now_ms = int(time.time() * 1000)
    ids = set_up(exact, states[waits], now_ms)
    Housekeeping(exact.store, HANDLERS, RETENTION).run()
    assert set(ids[1:]) <= kept(exact)
    exact.client.flushall()


def test_claim_checks_out_of_order_hold_the_oldest_of_their_events(worker_parts: WorkerParts) -> None:
    now_ms = int(time.time() * 1000)
    ids = set_up(worker_parts, State([30, 25, 20], 3, {0, 1, 2}, {"timeline": [2, 1], "refunds": [2]}), now_ms)
    assert Housekeeping(worker_parts.store, HANDLERS, RETENTION).trim_limit(now_ms) == stream_id(ids[1])


def test_a_first_run_on_an_empty_valkey_makes_the_groups_and_trims_nothing(worker_parts: WorkerParts) -> None:
    housekeeping = Housekeeping(worker_parts.store, HANDLERS, RETENTION)
    worker_parts.append(status("a"))
    housekeeping.run()
    assert len(worker_parts.read_new()) == 1
    worker_parts.client.flushall()


def test_consumers_of_ended_workers_are_deleted_and_others_are_not(
    worker_parts: WorkerParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping_module, "IDLE_CONSUMER_MS", 60)
    (event_id,) = worker_parts.append(status("a"))
    worker_parts.read_new(consumer="holds-something")
    worker_parts.read_new(consumer="gone")
    housekeeping = Housekeeping(worker_parts.store, HANDLERS, RETENTION)

    def is_forgotten() -> bool:
        worker_parts.read_new(consumer="alive")
        housekeeping.run()
        return _consumers(worker_parts) == {"holds-something", "alive"}

    wait_for(is_forgotten, what="the worker to be forgotten")
    worker_parts.client.xack(keys.INBOX, keys.GROUP, event_id)


def _consumers(worker_parts: WorkerParts) -> set[str]:
    return {each["name"].decode() for each in worker_parts.client.xinfo_consumers(keys.INBOX, keys.GROUP)}


def test_housekeeping_costs_no_more_with_more_events(real_worker_parts: WorkerParts) -> None:
    """Its commands grow with the number of handlers and with pages of what waits, not with the events in the inbox."""
    calls = []
    for count in (10, 500):
        real_worker_parts.client.flushall()
        ids = real_worker_parts.append(*(status(f"order-{number}") for number in range(count)))
        real_worker_parts.read_new()
        real_worker_parts.client.xack(keys.INBOX, keys.GROUP, *ids)
        before = real_worker_parts.client.info("stats")["total_commands_processed"]
        Housekeeping(real_worker_parts.store, HANDLERS, RETENTION).run()
        calls.append(real_worker_parts.client.info("stats")["total_commands_processed"] - before)
    assert calls[0] == calls[1]
