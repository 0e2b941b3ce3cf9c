"""A script that Valkey stops at any command loses no event and counts none twice: the next attempt makes everything right."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redis

from schemas import keys
from tests.support.stopping_scripts import ScriptStops, is_stopped
from tests.support.valkey_servers import RealValkey
from tests.support.worker_parts import WorkerParts
from tests.unit import script_scenarios
from tests.unit.script_scenarios import Scenario
from workers.valkey.store import HandledCheck

SCENARIOS = [
    script_scenarios.dispatch,
    script_scenarios.dispatch_same_batch,
    script_scenarios.dispatch_claimed,
    script_scenarios.acknowledge,
    script_scenarios.resolve,
    script_scenarios.discard,
    script_scenarios.decode_at_last,
    script_scenarios.replay,
]
EveryScenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=[each.__name__ for each in SCENARIOS])


@pytest.fixture
def parts(real_server: RealValkey, script_stops: ScriptStops) -> Iterator[WorkerParts]:
    made = WorkerParts(real_server.url)
    yield made
    made.close()


def attempt(step: Callable[[], object]) -> bool:
    """Whether a step succeeded. It may fail because the test stopped a script, and for nothing else."""
    try:
        step()
    except redis.ResponseError as error:
        if not is_stopped(error):
            raise
        return False
    return True


def new(parts: WorkerParts, scenario: Callable[[WorkerParts], Scenario]) -> Scenario:
    parts.client.flushall()
    return scenario(parts)


@EveryScenario
def test_a_script_that_is_stopped_anywhere_is_made_good_by_the_next_attempt(
    parts: WorkerParts, script_stops: ScriptStops, scenario: Callable[[WorkerParts], Scenario]
) -> None:
    for at in range(1, 200):
        step, check = new(parts, scenario)
        with script_stops.stop_at(at):
            succeeded = attempt(step)
        step() if not succeeded else None
        parts.store.finish_commits()
        check()
        assert not parts.client.exists(keys.UNFINISHED)
        if succeeded:
            break
    assert at > 5, "it was stopped at several commands"


@EveryScenario
def test_a_script_that_is_stopped_again_where_it_would_finish_is_made_good(
    parts: WorkerParts, script_stops: ScriptStops, scenario: Callable[[WorkerParts], Scenario]
) -> None:
    for at in range(6, 200):
        step, check = new(parts, scenario)
        with script_stops.stop_at(at):
            succeeded = attempt(step)
        if succeeded:
            return
        for again in range(2, 100):
            with script_stops.stop_at(again):
                if attempt(step):
                    break
        parts.store.finish_commits()
        check()


@EveryScenario
def test_another_script_finishes_what_a_stopped_one_left(
    parts: WorkerParts, script_stops: ScriptStops, scenario: Callable[[WorkerParts], Scenario]
) -> None:
    for at in range(1, 200):
        step, check = new(parts, scenario)
        with script_stops.stop_at(at):
            succeeded = attempt(step)
        parts.store.ack_batch("late_deliveries", [HandledCheck("1-0", 1, 0, ())])
        assert not parts.client.exists(keys.UNFINISHED)
        parts.sums()
        step() if not succeeded else None
        check()
        if succeeded:
            return


def test_a_failure_is_retried_although_the_script_that_leases_it_was_stopped(
    parts: WorkerParts, script_stops: ScriptStops
) -> None:
    for at in range(1, 20):
        parts.client.flushall()
        store, failure = script_scenarios.failed_event(parts)
        with script_stops.stop_at(at):
            succeeded = attempt(partial(store.take_due, 2))
        assert succeeded or failure in store.take_due(100_000)
        assert failure in store.take_due(200_000), "and again after its lease"
        if succeeded:
            return


@pytest.mark.parametrize("scenario", SCENARIOS[:-1], ids=[each.__name__ for each in SCENARIOS[:-1]])
def test_a_server_that_is_full_refuses_no_script_that_finishes_work(
    parts: WorkerParts, scenario: Callable[[WorkerParts], Scenario]
) -> None:
    step, check = new(parts, scenario)
    parts.client.config_set("maxmemory", 1)
    step()
    parts.client.config_set("maxmemory", 0)
    check()
