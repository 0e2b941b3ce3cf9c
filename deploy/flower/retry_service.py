"""What a retry of a failed task is, and when there is none: decided once, by the record of failures, whatever is double-clicked.

A failed event is revived in the record, and a worker sends its new task. Any other task is sent again as it was, under an id that is
a function of the old one. Runs in threads, beside Flower's loop.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from celery import Celery

from deploy.flower.safe_args import UnsafeArgumentsError, arguments
from schemas.failures import Failure, FailureState
from schemas.tasks import retry_task_name
from workers.errors import FailureNotFoundError
from workers.failures.failure_store import FailureStore, next_task_id

BATCH = 2_000
"""So many are retried at one call; the caller calls again."""


class RetryRefusedError(Exception):
    """This is not retried. `str()` is a sentence for the operator, `status` the HTTP status, `task_id` the task to look at instead."""

    def __init__(self, status: int, sentence: str, task_id: str | None = None) -> None:
        super().__init__(sentence)
        self.status, self.task_id = status, task_id


@dataclass(frozen=True)
class FailedTask:
    """What Flower knows of a failed task."""

    id: str
    name: str
    args: str | None
    kwargs: str | None
    queue: str | None
    root_id: str | None

    @property
    def handler(self) -> str | None:
        """The handler whose event it tried again; None of any other task."""
        handler = self.name.removesuffix(".retry")
        return handler if retry_task_name(handler) == self.name else None


class Retried(NamedTuple):
    """A failed event that is tried again, and the task that it is a retry of."""

    failure: Failure
    of_task: str


class RetryService:
    """Retries what failed. Raises `RetryRefusedError`, and the errors of Valkey and of the broker."""

    def __init__(self, failures: FailureStore, celery: Celery) -> None:
        self._failures, self._celery = failures, celery
        self.sent: set[str] = set()
        """Ids of tasks that were sent again, by this process: Flower hears of them a moment later. No retries of events."""

    def event_of(self, task: FailedTask) -> str:
        """The event that a task tried again."""
        named = _exact(task)[1]
        if not isinstance(event_id := named.get("event_id"), str):
            raise RetryRefusedError(422, "Not retried: the task names no event.")
        return event_id

    def revive(self, handler: str, event_id: str, of_task: str) -> Retried:
        """Have a failed event tried again as a new task, if this task is the one that failed."""
        try:
            return Retried(self._failures.retry(handler, event_id, _now_ms(), of_task), of_task)
        except FailureNotFoundError:
            raise self._why_not(handler, event_id, of_task) from None

    def send_again(self, task: FailedTask) -> str:
        """Send a task once more, to the queue it was in. The new task's id."""
        positional, named = _exact(task)
        self._celery.send_task(
            task.name,
            args=positional,
            kwargs=named,
            task_id=next_task_id(task.id),
            queue=task.queue,
            parent_id=task.id,
            root_id=task.root_id or task.id,
        )
        return next_task_id(task.id)

    def dead(self, wanted: Callable[[Failure], bool]) -> list[Failure]:
        """The dead records that are wanted."""
        return [failure for failure in self._failures.all() if failure.state is FailureState.DEAD and wanted(failure)]

    def revive_all(self, failures: Iterable[Failure]) -> list[Retried]:
        """Have these tried again; those that somebody else has revived meanwhile are left out."""
        retried = []
        for failure in failures:
            try:
                revived = self._failures.retry(failure.handler, failure.event_id, _now_ms(), failure.task_id)
            except FailureNotFoundError:
                continue
            retried.append(Retried(revived, failure.task_id))
        return retried

    def _why_not(self, handler: str, event_id: str, of_task: str) -> RetryRefusedError:
        try:
            failure = self._failures.get(handler, event_id)
        except FailureNotFoundError:
            return RetryRefusedError(410, "Not retried: this event has been applied since, nothing is left to do.")
        if failure.task_id == of_task:
            return RetryRefusedError(409, "Not retried: this task is still being tried again by itself.", of_task)
        if failure.state is FailureState.RETRYING:
            return RetryRefusedError(409, "Not retried: this event is being retried already, by another task.", failure.task_id)
        return RetryRefusedError(
            409, "Not retried: this event has been retried since, and that task failed too.", failure.task_id
        )


def _exact(task: FailedTask) -> tuple[tuple[object, ...], dict[str, object]]:
    try:
        return arguments(task.args, task.kwargs)
    except UnsafeArgumentsError as error:
        raise RetryRefusedError(422, f"Not retried: {error}.") from error


def _now_ms() -> int:
    return int(time.time() * 1000)
