"""Adds tasks to Flower's memory that no worker's event reported. Call these functions on Flower's event loop only.

`State.event` is not used: it would add a worker that does not exist to Flower's list, and count in its metrics.
"""

from typing import Any

from schemas.failures import Failure
from schemas.tasks import RETRY_QUEUE, queue_name, retry_task_name
from workers.errors import EventFailedError
from workers.failures.error_report import redact, summary
from workers.failures.retry_scheduler import shown_kwargs

FAILURE = "FAILURE"


def add_dead(state: Any, failure: Failure) -> bool:
    """Add a dead failure as a failed task. Returns False if Flower has it as FAILURE already, the only state it can have."""
    task = state.tasks.data.get(failure.task_id)
    if task is not None and task.state == FAILURE:
        return False
    traceback = redact(failure).traceback
    exception = f"{EventFailedError.__module__}.{EventFailedError.__name__}: {summary(failure)}"
    fields = {
        "exception": f"{EventFailedError.__name__}({summary(failure)!r})",
        "traceback": f"{traceback or ''}\n{exception}".strip(),
    }
    _put(state, failure, "received", failure.first_at_ms / 1000, {})
    _put(state, failure, "failed", failure.last_at_ms / 1000, fields)
    return True


def add_sent(state: Any, failure: Failure, parent_id: str, now: float) -> None:
    """Add a retry that a worker is about to send, as a child of the task that it retries."""
    if failure.task_id in state.tasks.data:
        return
    _put(state, failure, "sent", now, {"parent_id": parent_id, "root_id": parent_id})
    parent = state.tasks.data.get(parent_id)
    if parent is not None:
        parent.children.add(state.tasks.data[failure.task_id])


def _put(state: Any, failure: Failure, event: str, at: float, fields: dict[str, Any]) -> None:
    is_full = len(state.tasks) >= state.max_tasks_in_memory and failure.task_id not in state.tasks.data
    oldest = next(iter(state.tasks.data)) if is_full else None
    task, _ = state.get_or_create_task(failure.task_id)
    of_task = {"name": retry_task_name(failure.handler), "args": "()", "kwargs": shown_kwargs(failure)}
    queue = queue_name(RETRY_QUEUE)
    task.event(event, at, at, of_task | {"queue": queue, "routing_key": queue} | fields)
    if oldest is not None and oldest not in state.tasks.data:
        state.search_engine.remove(oldest)
    state.search_engine.upsert(task)
