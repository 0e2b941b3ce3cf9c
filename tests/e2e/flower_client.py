"""Flower as a process with our configuration and a password, and its HTTP calls."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import redis

import deploy.flower
from schemas import keys
from schemas.events import Provider
from schemas.keys import FIELD_BODY, FIELD_PROVIDER
from tests.payloads import FLAT_ORDER, recorded
from tests.support.live_deployment import Program, Worker
from tests.support.settings import LOOPBACK, free_port
from tests.support.waiting import wait_for

OPERATOR, PASSWORD = "operator", "the password of the tests"
CONFIGURATION = Path(deploy.flower.__file__).with_name("config.py")
HANDLER_MODULE = "tests.e2e.buggy_handler"


class Flower(Program):
    """Flower, on the same port for life; with options of its own if a test wants them."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        port = free_port()
        self.url = f"http://{LOOPBACK}:{port}"
        command = [sys.executable, "-m", "celery", "-A", "workers.app", "flower", f"--address={LOOPBACK}", f"--port={port}"]
        environment = {"FLOWER_BASIC_AUTH": f"{OPERATOR}:{PASSWORD}", **environment}
        environment = {name: value for name, value in environment.items() if value}
        super().__init__([*command, f"--conf={CONFIGURATION}", *options], environment, folder / "flower.log")
        self.client = httpx.Client(base_url=self.url, auth=(OPERATOR, PASSWORD), timeout=60)

    def failed_tasks(self, search: str = "") -> dict[str, dict[str, Any]]:
        """What the task list shows as failed, by task id."""
        response = self.client.get("/api/tasks", params={"state": "FAILURE", "search": search})
        assert response.status_code == 200, f"{response.status_code} {response.text}"
        return dict(response.json())

    def task(self, task_id: str) -> dict[str, Any] | None:
        """What it shows of a task, if it knows it."""
        response = self.client.get(f"/api/task/info/{task_id}")
        return dict(response.json()) if response.is_success else None

    def retry(self, task_id: str, **headers: str) -> httpx.Response:
        """What the button on a failed task's page does."""
        return self.client.post(f"/api/failures/retry/task/{task_id}", json={}, headers=headers)

    def _reports_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthcheck").is_success
        except httpx.TransportError:
            return False


class FlowerDeployment:
    """Flower and one worker with the buggy handler, on one Valkey. Neither runs before the test says so; all end with it."""

    def __init__(self, url: str, folder: Path, **environment: str) -> None:
        self.bug, self._folder = folder / "bug", folder
        self.environment = {
            "REDIS_URL": url,
            "DATABASE_URL": f"sqlite:///{folder / 'ledger.db'}",
            "HANDLER_MODULES": HANDLER_MODULE,
            "BUG_OF_THE_TESTS": str(self.bug),
            **environment,
        }
        self.valkey = redis.Redis.from_url(url)
        self.worker = Worker("worker", folder, **self.environment)
        self.flower = Flower(folder, **self.environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in (self.flower, self.worker):
            program.discard()
        self.flower.client.close()
        self.valkey.close()

    def restart_flower(self, *options: str, **environment: str) -> None:
        """Start Flower, or another one in place of the one that runs, and wait until it answers."""
        self.flower.discard()
        self.flower.client.close()
        self.flower = Flower(self._folder, *options, **(self.environment | environment))
        self.flower.start()
        self.flower.wait_until_ready()

    def start_worker(self) -> None:
        """Start the worker and wait for it."""
        self.worker.start()
        self.worker.wait_until_ready()

    def receive(self, orders: list[str], bodies: list[bytes] | None = None) -> list[str]:
        """Put an event for each of these orders into the inbox, and other bodies after them; the event ids."""
        template = recorded("instacart/flat/picking")
        made = [template.replace(FLAT_ORDER.encode(), order.encode()) for order in orders]
        pipeline = self.valkey.pipeline(transaction=False)
        for body in [*made, *(bodies or [])]:
            pipeline.xadd(keys.INBOX, {FIELD_PROVIDER: str(Provider.INSTACART), FIELD_BODY: body})
        return [event_id.decode() for event_id in pipeline.execute()]

    def applied(self) -> dict[str, int]:
        """How often the buggy handler has applied each order, once it has applied any."""
        path = self._folder / "applied"
        lines = path.read_text().splitlines() if path.exists() else []
        return {order: lines.count(order) for order in lines}


def wait_for_task(flower: Flower, task_id: str, is_so: Callable[[Mapping[str, Any]], bool], what: str) -> dict[str, Any]:
    """Wait until Flower shows a task so; what it shows."""

    def look() -> dict[str, Any] | None:
        task = flower.task(task_id)
        return task if task is not None and is_so(task) else None

    return wait_for(look, 20, what) or {}


@pytest.fixture
def flower_deployment(real_valkey_url: str, tmp_path: Path) -> Iterator[FlowerDeployment]:
    with FlowerDeployment(real_valkey_url, tmp_path) as flower_deployment:
        yield flower_deployment
