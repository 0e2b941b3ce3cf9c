"""Simulated orders with every fault while every worker is killed twice: in the end the ledger is correct."""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import redis

from tests.support.command_line import CommandResult, curbside
from tests.support.event_sums import sums
from tests.support.live_deployment import deployed
from tests.support.settings import environment_for_tests
from tests.support.waiting import wait_for

FAULTS = ("--duplicates=0.05", "--reordering=0.05", "--reverts=0.02", "--bad-bodies=0.01", "--oddities=0.3")
ORDERS, RATE = 300, 300
MOMENTS = (300, 700, 1100, 1500)
"""Killed when so many events have come in: one worker and the other by turns."""

pytestmark = pytest.mark.timeout(240)


def test_simulation_are_correct_after_every_worker_is_killed_twice(real_valkey_url: str, tmp_path: Path) -> None:
    environment = {"REDIS_URL": real_valkey_url, "DATABASE_URL": f"sqlite:///{tmp_path / 'ledger.db'}"}
    with (
        redis.Redis.from_url(real_valkey_url) as valkey,
        deployed(tmp_path, workers=2, **environment) as deployment,
        ThreadPoolExecutor(1) as pool,
    ):
        command = (
            "simulate",
            f"--url={deployment.ingress.url}",
            f"--orders={ORDERS}",
            f"--rate={RATE}",
            "--seed=9",
            "--verify",
            "--json",
        )
        simulating = pool.submit(curbside, *command, *FAULTS, environment=environment_for_tests(**environment))
        for place, moment in enumerate(MOMENTS):
            wait_for(partial(_has_received, valkey, moment, simulating), 60, f"{moment} events")
            victim = deployment.workers[place % 2]
            victim.wait_until_ready()
            victim.kill()
            victim.start()
        said = simulating.result()
        found = json.loads(said.output)
        assert found["verdict"]["differences"] == []
        assert (said.exit_code, said.errors) == (0, "")
        assert found["verdict"]["unclear"] == found["given_up"] == 0
        assert found["verdict"]["orders"] >= ORDERS
        assert found["status"]["inbox"]["received"] > max(MOMENTS)


def _has_received(valkey: redis.Redis, least: int, simulating: Future[CommandResult]) -> bool:
    assert not simulating.done(), f"it ended before the kill: {simulating.result()}"
    return sums(valkey).received >= least
