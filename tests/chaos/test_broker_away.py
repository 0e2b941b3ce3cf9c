"""The broker is a server of its own and goes away: events, retries, alerts and housekeeping go on, and workers stop in seconds."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import redis
from celery import Celery

from schemas import keys
from schemas.processes import NOTIFICATION_EXPIRES_SECONDS
from schemas.tasks import broker_options, queue_name, task_name
from tests.support.ingress_client import ProviderClient
from tests.support.retry_deployment import RetryDeployment, open_retry_deployment, picking
from tests.support.valkey_servers import broker_of
from tests.support.waiting import wait_for

SECONDS = 10.0
STOP_SECONDS = 12.0
MISSING = b'{"event":"customer_mia","order_id":"%s","timestamp":"2099-03-01T12:00:00Z"}'


class BrokerServer(Protocol):
    url: str

    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def restore(self) -> None: ...


@pytest.fixture(params=["valkey", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[BrokerServer]:
    """A broker of its own: another Valkey, then RabbitMQ."""
    server: BrokerServer = request.getfixturevalue({"valkey": "other_valkey", "rabbitmq": "rabbitmq"}[request.param])
    yield server
    server.restore()


def sent_alerts(deployment: RetryDeployment) -> int:
    return int(deployment.json("status")["outbox"]["sent"])


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_with_the_broker_gone_events_retries_and_alerts_go_on_and_workers_stop_in_seconds(
    real_valkey_url: str, tmp_path: Path, broker: BrokerServer, fault: str
) -> None:
    with (
        open_retry_deployment(tmp_path, real_valkey_url, workers=2, CELERY_BROKER_URL=broker.url) as deployment,
        ProviderClient(deployment.processes.ingress.url) as poster,
    ):
        poster.post("instacart", picking("fine-before"))
        deployment.wait_until(lambda now: now.count("applied:timeline") == 1, 20, "an event while the broker is there")
        wait_for(lambda: not deployment.client.exists(keys.waiter(keys.DISPATCH)), SECONDS, "nobody to wait for events")
        getattr(broker, fault)()
        poster.post("instacart", picking("bug-1"))
        poster.post("instacart", MISSING % b"late-1")
        deployment.wait_until(lambda now: now.count("applied:timeline") == 3, SECONDS, "events to be applied without it")
        wait_for(lambda: sent_alerts(deployment), SECONDS, "the alert to be sent")
        wait_for(lambda: deployment.failed() == 1, SECONDS, "the failure that is retried")
        deployment.bug.unlink()
        wait_for(lambda: not deployment.failed(), 3 * SECONDS, "its retry")
        wait_for(
            lambda: re.search(r"unreachable for worker .*: the broker \(.*\), since 20", deployment.command("status").errors),
            3 * SECONDS,
            "status to say it",
        )
        deployment.append("last")
        deployment.wait_until(lambda now: now.count("applied:timeline") == 4, SECONDS, "an event without any notification")
        for worker in deployment.processes.workers:
            worker.terminate()
        for worker in deployment.processes.workers:
            wait_for(lambda worker=worker: not worker.is_running, STOP_SECONDS, "the worker to stop")  # type: ignore[misc]
            assert worker.wait() == 0
        broker.restore()
        for worker in deployment.processes.workers:
            worker.start()
        for worker in deployment.processes.workers:
            worker.wait_until_ready()
        poster.post("instacart", picking("fine-after"))
        deployment.wait_until(lambda now: now.count("applied:timeline") == 5, SECONDS, "an event after it is back")
        wait_for(lambda: "broker" not in deployment.command("status").errors, SECONDS, "status to say that it is back")


def test_a_night_without_workers_costs_seconds(real_valkey_url: str, tmp_path: Path) -> None:
    """In ten hours the ingress sends 600 notifications, one when the last has expired."""
    with (
        open_retry_deployment(tmp_path, real_valkey_url) as deployment,
        redis.Redis.from_url(broker_of(real_valkey_url)) as queue,
    ):
        (worker,) = deployment.processes.workers
        deployment.bug.unlink()
        worker.terminate()
        worker.wait()
        celery = Celery("curbside", set_as_current=False)
        celery.conf.update(broker_options(broker_of(real_valkey_url)))
        for _ in range(10 * 3600 // NOTIFICATION_EXPIRES_SECONDS):
            celery.send_task(task_name(keys.DISPATCH), queue=queue_name(keys.DISPATCH), expires=0.001)
        celery.close()
        deployment.append("morning")
        worker.start()
        worker.wait_until_ready()
        deployment.wait_until_all_applied(SECONDS)
        wait_for(lambda: not queue.llen(f"curbside:{queue_name(keys.DISPATCH)}"), SECONDS, "the expired ones to be dropped")
