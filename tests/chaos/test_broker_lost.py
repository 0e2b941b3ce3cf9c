"""Every Celery message is deleted, again and again, under load: nothing is lost, and it costs seconds."""

import random
import time
from pathlib import Path

import pytest
import redis

from schemas import keys
from schemas.failures import FailureState
from tests.support.outcomes import failures
from tests.support.posting import Poster
from tests.support.shop import open_shop, picking
from tests.support.valkey import broker_of
from tests.support.waiting import wait_for
from workers.failures.failure_store import LEASE_MS, FailureStore

ROUNDS = 10
EACH_ROUND = 60


@pytest.mark.parametrize("seed", [20261122])
def test_every_event_ends_in_one_outcome_though_all_celery_messages_are_deleted_ten_times(
    real_valkey_url: str, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - the same moments in every run
    orders: list[str] = []
    with (
        redis.Redis.from_url(broker_of(real_valkey_url)) as broker,
        open_shop(tmp_path, real_valkey_url, workers=2) as shop,
        Poster(shop.deployment.ingress.url) as poster,
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
            shop.wait_until(lambda now, target=target: now.count("applied:timeline") >= target, 20, "some progress")  # type: ignore[misc]
            for worker in shop.deployment.workers:
                worker.freeze()
            poster.post("instacart", picking(late := f"bug-{number}-late"))
            orders.append(late)
            deleted += _delete_all(broker)
            if number % 5 == 4:  # retries, sent and deleted at once
                deleted += wait_for(
                    lambda: len(FailureStore(shop.client).take_due(_now_ms())), LEASE_MS / 1000, "a retry to be due"
                )
            for worker in shop.deployment.workers:
                worker.thaw()
        assert deleted >= 2, deleted
        assert {each.state for each in failures(shop.client).values()} == {FailureState.RETRYING}
        shop.bug.unlink()
        shop.wait_until_all_is_applied(LEASE_MS / 1000 + 20)
        assert shop.in_the_pantry() == sorted(orders)
        now = shop.sums()
        assert now.received == now.count("routed") == len(orders)
        assert now.count("applied:pantry") == now.count("applied:timeline") == len(orders)
        wait_for(lambda: not shop.client.exists(keys.RETRIES, keys.IN_FLIGHT), 5, "no retry to be left")


def _now_ms() -> int:
    return int(time.time() * 1000)


def _delete_all(broker: "redis.Redis") -> int:
    """Delete every message, every queue and every binding; how many messages there were."""
    waiting = sum(int(broker.llen(name)) for name in broker.scan_iter(match="curbside:curbside.*", _type="list"))
    broker.flushdb()
    return waiting
