"""The HTTP API behind the buttons. It respects Flower's login and read-only mode, and answers with a message and a task id.

Stricter than Flower in one point: it refuses a call that another site makes in the operator's browser, even without a login.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from flower.api.tasks import BaseTaskHandler
from flower.utils.search import QuerySyntaxError
from flower.utils.tasks import search_tasks
from kombu.exceptions import OperationalError
from tornado.escape import json_decode
from tornado.web import HTTPError, authenticated

from deploy.flower.retry_service import BATCH, FailedTask, Retried, RetryRefusedError, RetryService
from deploy.flower.task_state import FAILURE, add_sent
from schemas.failures import Failure
from workers.errors import DependencyUnavailableError
from workers.failures.failure_store import next_task_id
from workers.valkey.connection import UNAVAILABLE

P = ParamSpec("P")
T = TypeVar("T")

_UNAVAILABLE = (
    "Valkey or the broker is unreachable. Try again in a moment: a failure is retried only once, however often you ask."
)


class RetryCall(BaseTaskHandler):  # type: ignore[misc]
    """Base class of the API's request handlers."""

    def initialize(self, service: RetryService) -> None:
        """Receive the arguments of the route."""
        self._service = service

    def prepare(self) -> None:
        """Refuse what Flower refuses, calls from other sites, and changes to a read-only Flower."""
        super().prepare()
        if self.request.method == "POST":
            if self._is_from_another_site():
                raise HTTPError(403, "Not retried: the call came from another site.")
            if self.current_user and self.application.options.read_only:
                raise HTTPError(403, "Not retried: this Flower is read-only.")

    def _is_from_another_site(self) -> bool:
        site, origin = self.request.headers.get("Sec-Fetch-Site"), self.request.headers.get("Origin")
        if site is not None:
            return site not in {"same-origin", "none"}
        return origin is not None and urlsplit(origin).netloc != self.request.host

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error with its message."""
        error = kwargs.get("exc_info", (None, None))[1]
        has_message = isinstance(error, HTTPError) and error.log_message
        self.finish({"message": error.log_message % error.args if has_message else self._reason})

    def body(self, *names: str) -> list[str]:
        """Return the named strings of the request's JSON object. Raises HTTPError 400."""
        try:
            values = json_decode(self.request.body)
            given = [values[name] for name in names]
        except (ValueError, KeyError, TypeError) as error:
            raise HTTPError(400, f"expected a JSON object with {', '.join(names)}") from error
        if not all(isinstance(value, str) for value in given):
            raise HTTPError(400, f"expected strings as {', '.join(names)}")
        return given

    async def run_in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call in a thread, so that it does not block Flower's loop. Raises HTTPError 503 in an outage."""
        try:
            return await asyncio.get_running_loop().run_in_executor(None, lambda: call(*args, **kwargs))
        except (OperationalError, DependencyUnavailableError, *UNAVAILABLE) as error:
            raise HTTPError(503, _UNAVAILABLE) from error

    def refuse(self, refused: RetryRefusedError) -> None:
        """Answer with the reason."""
        self.set_status(refused.status)
        self.finish({"message": str(refused), "task_id": refused.task_id})

    def accept(self, retried: Retried) -> None:
        """Add the new task to Flower's memory, and answer with its id."""
        self.show([retried])
        self.accept_task(retried.failure.task_id)

    def accept_task(self, task_id: str) -> None:
        """Answer 202 with the id of the new task."""
        self.set_status(202)
        self.finish({"message": "Retried as a new task.", "task_id": task_id})

    def show(self, retried: Iterable[Retried]) -> None:
        """Add the new tasks to Flower's memory, until its events arrive."""
        for each in retried:
            add_sent(self.application.events.state, each.failure, each.of_task, time.time())

    async def retry_all(self, failures: list[Failure]) -> dict[str, Any]:
        """Retry the first failures, as many as one call allows. Returns the answer."""
        retried = await self.run_in_thread(self._service.retry_all, failures[:BATCH])
        self.show(retried)
        return {"retried": len(retried), "left": max(0, len(failures) - BATCH)}

    async def send_again(self, task: FailedTask) -> str:
        """Send a task that is not the retry of an event again, but only once. The new task's id. Raises `RetryRefusedError`."""
        new_id = next_task_id(task.id)
        if new_id in self._service.sent or new_id in self.application.events.state.tasks.data:
            raise RetryRefusedError(409, "Not retried: this task has been retried already.", new_id)
        self._service.sent.add(new_id)
        try:
            return await self.run_in_thread(self._service.send_again, task)
        except BaseException:
            self._service.sent.discard(new_id)
            raise


class RetryTask(RetryCall):
    """`POST …/task/<id>`: retry a task that Flower shows as failed."""

    @authenticated
    async def post(self, task_id: str) -> None:
        """202 with the new task, or 404, 409, 410 or 422 with the reason."""
        found = self.application.events.state.tasks.data.get(task_id)
        if found is None:
            raise HTTPError(404, "Not retried: Flower no longer knows this task. See the page of failures.")
        if found.state != FAILURE:
            raise HTTPError(409, f"Not retried: this task has not failed; its state is {found.state}.")
        task = failed_task(found)
        try:
            if task.handler is None:
                self.accept_task(await self.send_again(task))
            else:
                self.accept(
                    await self.run_in_thread(self._service.retry, task.handler, self._service.event_id_of(task), task.id)
                )
        except RetryRefusedError as refused:
            self.refuse(refused)


class RetryEvent(RetryCall):
    """`POST …/event`: retry a failure on record, if the named task is still the one that failed."""

    @authenticated
    async def post(self) -> None:
        """202 with the new task, or 409 or 410 with the reason."""
        try:
            self.accept(await self.run_in_thread(self._service.retry, *self.body("handler", "event_id", "task_id")))
        except RetryRefusedError as refused:
            self.refuse(refused)


class RetryGroup(RetryCall):
    """`POST …/group`: retry all dead failures of a handler with one reason."""

    @authenticated
    async def post(self) -> None:
        """Answer with the number of retried failures, and the number left for the next call."""
        handler, reason = self.body("handler", "reason")
        dead = await self.run_in_thread(
            self._service.dead, lambda failure: (failure.handler, failure.reason) == (handler, reason)
        )
        self.finish(await self.retry_all(dead))


class RetrySearch(RetryCall):
    """`…/search`: all failed tasks that match a search in Flower's syntax. GET counts them, POST retries them.

    Counts events that are still dead, because Flower keeps showing their tasks as failed, and other tasks not sent again yet.
    """

    @authenticated
    async def get(self) -> None:
        """Answer with the count."""
        dead, others = await self._found(self.get_query_argument("search", ""))
        self.finish({"count": len(dead) + len(others)})

    @authenticated
    async def post(self) -> None:
        """Answer with the number retried, the number left for the next call, and the reasons of refusals."""
        dead, others = await self._found(*self.body("search"))
        answer = await self.retry_all(dead)
        refused: Counter[str] = Counter()
        for task in others:
            try:
                await self.send_again(task)
                answer["retried"] += 1
            except RetryRefusedError as reason:
                refused[str(reason)] += 1
        self.finish(answer | {"refused": refused})

    async def _found(self, search: str) -> tuple[list[Failure], list[FailedTask]]:
        state = self.application.events.state
        try:
            found = set(search_tasks(self.application.events, search=search, state=FAILURE).task_ids)
        except QuerySyntaxError as error:
            raise HTTPError(400, f"Not retried: {error}") from error
        tasks = (failed_task(state.tasks.data[task_id]) for task_id in found)
        known = {*self._service.sent, *state.tasks.data}
        others = [task for task in tasks if task.handler is None and next_task_id(task.id) not in known]
        return await self.run_in_thread(self._service.dead, lambda failure: failure.task_id in found), others


def failed_task(task: Any) -> FailedTask:
    """Copy what Flower knows of a task, for use in a thread."""
    queue = getattr(task, "queue", None) or task.routing_key
    return FailedTask(task.uuid, task.name or "", task.args, task.kwargs, queue, task.root_id)
