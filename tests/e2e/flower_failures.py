"""Failures as Flower shows them: put on record, counted and retried."""

from collections import Counter
from typing import Any

from celery import Celery

from schemas import keys
from schemas.failures import Failure, FailureState, Reason, encode_failure
from schemas.tasks import broker_options
from tests.e2e.buggy_handler import CUSTOMER
from tests.e2e.flower_client import FlowerDeployment
from tests.support.event_sums import BUILT_IN, failures
from tests.support.valkey_servers import broker_of
from tests.support.waiting import wait_for
from workers.failures.failure_store import first_task_id

HANDLERS = (*BUILT_IN, "buggy")


def add_failure(flower_deployment: FlowerDeployment, event_id: str = "1732230000000-0", **fields: Any) -> Failure:
    """Put a dead failure on record, as `workers.failures.failure_store` keeps it."""
    known = {"reason": Reason.HANDLER_ERROR, "message": f"KeyError: '{CUSTOMER}'", "order_ids": ("fc-1",), "attempts": 3}
    times = {"first_at_ms": 1732230000500, "last_at_ms": 1732230009500}
    task_id = first_task_id("buggy", event_id)
    values: dict[str, Any] = {**known, **times, **fields}
    failure = Failure(event_id=event_id, handler="buggy", provider="instacart", body=b"{}", task_id=task_id, **values)
    flower_deployment.valkey.hset(keys.FAILURES, failure.field, encode_failure(failure))
    return failure


def send_failed_task(
    flower_deployment: FlowerDeployment, task_id: str, name: str, args: str = "()", kwargs: str = "{}", **fields: Any
) -> None:
    """Have a worker's events tell Flower of a task that failed."""
    app = Celery("teller", set_as_current=False)
    app.conf.update(broker_options(broker_of(flower_deployment.environment["REDIS_URL"])))
    with app.connection_for_write() as connection, app.events.Dispatcher(connection, hostname="worker@test") as dispatcher:

        def is_known() -> bool:
            dispatcher.send("task-received", uuid=task_id, name=name, args=args, kwargs=kwargs, **fields)
            dispatcher.send("task-failed", uuid=task_id, exception="KeyError()", traceback="-")
            task = flower_deployment.flower.task(task_id)
            return task is not None and task["name"] == name  # it may have begun to listen between the two

        wait_for(is_known, 20, "Flower to hear of the task")


def states(flower_deployment: FlowerDeployment) -> Counter[FailureState]:
    """How many failures are in each state."""
    return Counter(failure.state for failure in failures(flower_deployment.valkey).values())


def retry_all(flower_deployment: FlowerDeployment, search: str) -> int:
    """What the button of the task list does; how many were retried."""
    count = flower_deployment.flower.client.get("/api/failures/retry/search", params={"search": search}).json()["count"]
    answer = flower_deployment.flower.client.post("/api/failures/retry/search", json={"search": search}).json()
    assert answer == {"retried": count, "left": 0, "refused": {}}
    return int(count)
