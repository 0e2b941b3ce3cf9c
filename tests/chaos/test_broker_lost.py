"""Every Celery message is deleted repeatedly under load: no event is lost, and each is delayed by seconds."""

import random
import time
from pathlib import Path

import pytest
import redis

from schemas import keys
from schemas.failures import FailureState
from tests.support.event_sums import failures
from tests.support.ingress_client import ProviderClient
from tests.support.retry_deployment import open_retry_deployment, picking
from tests.support.valkey_servers import broker_of
from tests.support.waiting import wait_for
from workers.failures.failure_store import LEASE_MS, FailureStore

ROUNDS = 10
EACH_ROUND = 60


@pytest.mark.parametrize("seed", [20261122])
def test_every_event_has_one_outcome_when_all_celery_messages_are_deleted_ten_times(
    real_valkey_url: str, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - the same moments in every run
    orders: list[str] = []
    with (
        redis.Redis.from_url(broker_of(real_valkey_url)) as broker,
        open_retry_deployment(tmp_path, real_valkey_url, workers=2) as deployment,
        ProviderClient(deployment.processes.ingress.url) as poster,
    ):
        deleted = 0
        for number in range(ROUNDS):
            new = [f"{rng.choice(['bug', 'fine'])}-{number}-{each}" for each in range(EACH_ROUND)]
            flush_after = rng.randrange(EACH_ROUND)
            for each, order in enumerate(new):
                poster.post("instacart", picking(order))
                if each == flush_after:
                    deleted += _delete_all(broker)
            orders += new
            target = rng.randrange(len(orders))
            deployment.wait_until(lambda now, target=target: now.count("applied:timeline") >= target, 20, "some progress")  # type: ignore[misc]
            for worker in deployment.processes.workers:
                worker.freeze()
            poster.post("instacart", picking(late := f"bug-{number}-late"))
            orders.append(late)
            deleted += _delete_all(broker)
            if number % 5 == 4:  # retries, sent and deleted at once
                deleted += wait_for(
                    lambda: len(FailureStore(deployment.client).take_due(_now_ms())), LEASE_MS / 1000, "a retry to be due"
                )
            for worker in deployment.processes.workers:
                worker.resume()
        assert deleted >= 2, deleted
        assert {each.state for each in failures(deployment.client).values()} == {FailureState.RETRYING}
        deployment.bug.unlink()
        deployment.wait_until_all_applied(LEASE_MS / 1000 + 20)
        assert deployment.applied_orders() == sorted(orders)
        now = deployment.sums()
        assert now.received == now.count("routed") == len(orders)
        assert now.count("applied:faulty") == now.count("applied:timeline") == len(orders)
        wait_for(lambda: not deployment.client.exists(keys.RETRIES, keys.IN_FLIGHT), 5, "no retry to be left")


def _now_ms() -> int:
    return int(time.time() * 1000)


def _delete_all(broker: "redis.Redis") -> int:
    """Delete every message, every queue and every binding; how many messages there were."""
    waiting = sum(int(broker.llen(name)) for name in broker.scan_iter(match="curbside:curbside.*", _type="list"))
    broker.flushdb()
    return waiting
