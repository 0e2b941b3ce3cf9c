"""Decides whether a failed task is retried, and retries it. The record of failures decides, so a double click retries once.

A failed event is set to retry in the record, and a worker sends its new task. Any other task is sent again unchanged, under
an id derived from the old one. The methods block; they run in threads, outside Flower's loop.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from celery import Celery

from deploy.flower.safe_args import UnsafeArgumentsError, arguments
from schemas.failures import Failure, FailureState
from schemas.tasks import retry_task_name
from workers.errors import FailureNotFoundError
from workers.failures.failure_store import FailureStore, next_task_id
from workers.failures.retry_scheduler import now_ms

BATCH = 2_000
"""How many failures one call retries; the client calls again for the rest."""


class RetryRefusedError(Exception):
    """The task is not retried. `str()` is the reason, `status` the HTTP status, `task_id` the task to see instead."""

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
        """The handler whose event the task retried; None for any other task."""
        handler = self.name.removesuffix(".retry")
        return handler if retry_task_name(handler) == self.name else None


class Retried(NamedTuple):
    """A failure that is being retried, and the task that it retries."""

    failure: Failure
    of_task: str


class RetryService:
    """Retries failed tasks. Raises `RetryRefusedError`, and the errors of Valkey and of the broker."""

    def __init__(self, failures: FailureStore, celery: Celery) -> None:
        self._failures, self._celery = failures, celery
        self.sent: set[str] = set()
        """Ids of tasks, other than retries of events, that this process sent again: their Celery events arrive later."""

    def event_id_of(self, task: FailedTask) -> str:
        """Return the id of the event that a task retried."""
        named = _arguments(task)[1]
        if not isinstance(event_id := named.get("event_id"), str):
            raise RetryRefusedError(422, "Not retried: the task's arguments name no event.")
        return event_id

    def retry(self, handler: str, event_id: str, of_task: str) -> Retried:
        """Retry a failed event as a new task, if `of_task` is the task that failed last."""
        try:
            return Retried(self._failures.retry(handler, event_id, now_ms(), of_task), of_task)
        except FailureNotFoundError:
            raise self._refusal(handler, event_id, of_task) from None

    def send_again(self, task: FailedTask) -> str:
        """Send a task again, to the same queue. The new task's id."""
        positional, named = _arguments(task)
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
        """Return the dead failures that match."""
        return [failure for failure in self._failures.all() if failure.state is FailureState.DEAD and wanted(failure)]

    def retry_all(self, failures: Iterable[Failure]) -> list[Retried]:
        """Retry these failures. Those that are being retried already are left out."""
        retried = []
        for failure in failures:
            try:
                updated = self._failures.retry(failure.handler, failure.event_id, now_ms(), failure.task_id)
            except FailureNotFoundError:
                continue
            retried.append(Retried(updated, failure.task_id))
        return retried

    def _refusal(self, handler: str, event_id: str, of_task: str) -> RetryRefusedError:
        try:
            failure = self._failures.get(handler, event_id)
        except FailureNotFoundError:
            return RetryRefusedError(410, "Not retried: this event has been applied since; nothing is left to do.")
        if failure.task_id == of_task:
            return RetryRefusedError(409, "Not retried: this task is still being retried automatically.", of_task)
        if failure.state is FailureState.RETRYING:
            return RetryRefusedError(409, "Not retried: another task is retrying this event already.", failure.task_id)
        return RetryRefusedError(
            409, "Not retried: this event has been retried since, and that task failed too.", failure.task_id
        )


def _arguments(task: FailedTask) -> tuple[tuple[object, ...], dict[str, object]]:
    try:
        return arguments(task.args, task.kwargs)
    except UnsafeArgumentsError as error:
        raise RetryRefusedError(422, f"Not retried: {error}.") from error
