"""Housekeeping keeps Valkey small and never lets go of an event that still waits."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import keys
from tests.support.parts import Parts, status
from tests.support.waiting import wait_for
from workers import housekeeping as housekeeping_module
from workers.housekeeping import Housekeeping, stream_id

HANDLERS = ("timeline", "refunds")
RETENTION = timedelta(minutes=10)


@pytest.fixture
def exact(real_parts: Parts) -> Iterator[Parts]:
    """A Valkey whose streams have nodes of one entry, so that trimming is seen at once. The fake trims by rules of its own."""
    real_parts.client.config_set("stream-node-max-entries", 1)
    yield real_parts
    real_parts.client.config_set("stream-node-max-entries", 100)


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
        """Events whose bodies somebody will ask for."""
        undrained = set(range(len(self.ages_minutes))) - self.acknowledged
        return undrained.union(*self.waiting.values())


@st.composite
def states(draw: st.DrawFn) -> State:
    ages = sorted(draw(st.lists(st.integers(0, 20), max_size=12)), reverse=True)
    taken = draw(st.integers(0, len(ages)))
    acknowledged = draw(st.sets(st.sampled_from(range(taken)))) if taken else set()
    some = st.lists(st.sampled_from(sorted(acknowledged)), max_size=4) if acknowledged else st.just([])
    return State(ages, taken, acknowledged, {name: draw(some) for name in HANDLERS})


def set_up(parts: Parts, state: State, now_ms: int) -> list[str]:
    """Bring a Valkey into this state; the event ids."""
    parts.client.flushall()
    parts.store.ensure_groups([keys.INBOX, *map(keys.todo, HANDLERS)])
    ids = [f"{now_ms - 60_000 * age}-{number}" for number, age in enumerate(state.ages_minutes)]
    for event_id in ids:
        parts.client.xadd(keys.INBOX, {keys.FIELD_BODY: b"body"}, id=event_id)
    if state.taken:
        parts.take(count=state.taken)
    if state.acknowledged:
        parts.client.xack(keys.INBOX, keys.GROUP, *(ids[number] for number in state.acknowledged))
    for handler, numbers in state.waiting.items():
        for number in numbers:
            parts.client.xadd(keys.todo(handler), {keys.FIELD_EVENT: ids[number]})
    return ids


def kept(parts: Parts) -> set[str]:
    return {entry_id.decode() for entry_id, _ in parts.client.xrange(keys.INBOX)}


any_state = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@any_state
@given(state=states())
def test_no_event_that_still_waits_is_ever_trimmed(parts: Parts, state: State) -> None:
    ids = set_up(parts, state, int(time.time() * 1000))
    Housekeeping(parts.store, HANDLERS, RETENTION).run()
    assert {ids[number] for number in state.needed} <= kept(parts)
    parts.client.flushall()


@any_state
@given(state=states())
def test_what_is_old_and_handled_is_trimmed_and_nothing_that_waits(exact: Parts, state: State) -> None:
    now_ms = int(time.time() * 1000)
    ids = set_up(exact, state, now_ms)
    Housekeeping(exact.store, HANDLERS, RETENTION).run()
    assert {ids[number] for number in state.needed} <= kept(exact)
    oldest_needed = min([*map(stream_id, (ids[number] for number in state.needed)), (1 << 62, 0)])
    last_taken = stream_id(ids[state.taken - 1]) if state.taken else (0, 0)
    may_go = min(oldest_needed, (now_ms - int(RETENTION.total_seconds() * 1000) - 60_000, 0), last_taken)
    assert not {each for each in kept(exact) if stream_id(each) < may_go}
    exact.client.flushall()


def test_events_younger_than_the_retention_are_kept_for_replay(exact: Parts) -> None:
    now_ms = int(time.time() * 1000)
    ids = set_up(exact, State([15, 12, 9, 1], 4, {0, 1, 2, 3}), now_ms)
    Housekeeping(exact.store, HANDLERS, RETENTION).run()
    assert kept(exact) == set(ids[2:])


def test_a_retention_that_reaches_before_1970_keeps_every_event(parts: Parts) -> None:
    now_ms = int(time.time() * 1000)
    ids = set_up(parts, State([15, 9], 2, {0, 1}), now_ms)
    housekeeping = Housekeeping(parts.store, HANDLERS, timedelta(days=36_500))
    housekeeping.run()
    assert kept(parts) == set(ids)
    assert housekeeping.trim_limit(now_ms) == (0, 0)


@pytest.mark.parametrize("waits", ["in the inbox", "in hand", "for a handler"])
def test_one_old_event_that_waits_keeps_what_came_after_it(exact: Parts, waits: str) -> None:
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


def test_claim_checks_out_of_order_hold_the_oldest_of_their_events(parts: Parts) -> None:
    now_ms = int(time.time() * 1000)
    ids = set_up(parts, State([30, 25, 20], 3, {0, 1, 2}, {"timeline": [2, 1], "refunds": [2]}), now_ms)
    assert Housekeeping(parts.store, HANDLERS, RETENTION).trim_limit(now_ms) == stream_id(ids[1])


def test_with_too_much_waiting_to_be_sure_nothing_is_trimmed(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping_module, "MAX_SCANNED", 3)
    monkeypatch.setattr(housekeeping_module, "_PAGE", 2)
    now_ms = int(time.time() * 1000)
    ids = set_up(parts, State([30, 20], 2, {0, 1}, {"timeline": [1, 1, 1, 1]}), now_ms)
    Housekeeping(parts.store, HANDLERS, RETENTION).run()
    assert kept(parts) == set(ids)


def test_a_first_run_on_an_empty_valkey_makes_the_groups_and_trims_nothing(parts: Parts) -> None:
    housekeeping = Housekeeping(parts.store, HANDLERS, RETENTION)
    parts.append(status("a"))
    housekeeping.run()
    assert len(parts.take()) == 1
    parts.client.flushall()


def test_workers_that_are_gone_are_forgotten_and_others_are_not(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping_module, "IDLE_CONSUMER_MS", 60)
    (event_id,) = parts.append(status("a"))
    parts.take(consumer="holds-something")
    parts.take(consumer="gone")
    housekeeping = Housekeeping(parts.store, HANDLERS, RETENTION)

    def is_forgotten() -> bool:
        parts.take(consumer="alive")
        housekeeping.run()
        return _consumers(parts) == {"holds-something", "alive"}

    wait_for(is_forgotten, what="the worker to be forgotten")
    parts.client.xack(keys.INBOX, keys.GROUP, event_id)


def _consumers(parts: Parts) -> set[str]:
    return {each["name"].decode() for each in parts.client.xinfo_consumers(keys.INBOX, keys.GROUP)}


def test_housekeeping_costs_no_more_with_more_events(real_parts: Parts) -> None:
    """Its commands grow with the number of handlers and with pages of what waits, not with the events in the inbox."""
    calls = []
    for count in (10, 500):
        real_parts.client.flushall()
        ids = real_parts.append(*(status(f"order-{number}") for number in range(count)))
        real_parts.take()
        real_parts.client.xack(keys.INBOX, keys.GROUP, *ids)
        before = real_parts.client.info("stats")["total_commands_processed"]
        Housekeeping(real_parts.store, HANDLERS, RETENTION).run()
        calls.append(real_parts.client.info("stats")["total_commands_processed"] - before)
    assert calls[0] == calls[1]
