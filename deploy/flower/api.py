"""The HTTP calls behind the buttons. They obey Flower's login and read-only mode, and answer with a sentence and a task to look at.

Stricter than Flower in one thing: a call that another site makes in the operator's browser is refused also where no login is set.
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
from deploy.flower.task_state import FAILURE, show_sent
from schemas.failures import Failure
from workers.failures.failure_store import next_task_id
from workers.valkey.connection import UNAVAILABLE

P = ParamSpec("P")
T = TypeVar("T")

_AWAY = "Valkey or the broker is unreachable. Try again in a moment: each failure is retried once, however often you ask."


class Call(BaseTaskHandler):  # type: ignore[misc]
    """One call."""

    def initialize(self, retrying: RetryService) -> None:
        """Given by the route."""
        self._retrying = retrying

    def prepare(self) -> None:
        """Refuse what Flower refuses, calls from other sites, and changes where Flower is read-only."""
        super().prepare()
        if self.request.method == "POST":
            if self._is_from_elsewhere():
                raise HTTPError(403, "Not retried: the call came from another site.")
            if self.current_user and self.application.options.read_only:
                raise HTTPError(403, "Not retried: this Flower is read-only.")

    def _is_from_elsewhere(self) -> bool:
        site, origin = self.request.headers.get("Sec-Fetch-Site"), self.request.headers.get("Origin")
        if site is not None:
            return site not in {"same-origin", "none"}
        return origin is not None and urlsplit(origin).netloc != self.request.host

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the sentence."""
        error = kwargs.get("exc_info", (None, None))[1]
        said = isinstance(error, HTTPError) and error.log_message
        self.finish({"message": error.log_message % error.args if said else self._reason})

    def body(self, *names: str) -> list[str]:
        """Texts of the JSON object in the request."""
        try:
            values = json_decode(self.request.body)
            given = [values[name] for name in names]
        except (ValueError, KeyError, TypeError) as error:
            raise HTTPError(400, f"expected a JSON object with {', '.join(names)}") from error
        if not all(isinstance(value, str) for value in given):
            raise HTTPError(400, f"expected texts as {', '.join(names)}")
        return given

    async def beside(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in a thread, so that Flower goes on."""
        try:
            return await asyncio.get_running_loop().run_in_executor(None, lambda: call(*args, **kwargs))
        except (OperationalError, *UNAVAILABLE) as error:
            raise HTTPError(503, _AWAY) from error

    def refuse(self, refused: RetryRefusedError) -> None:
        """Answer why not."""
        self.set_status(refused.status)
        self.finish({"message": str(refused), "task_id": refused.task_id})

    def accept(self, retried: Retried) -> None:
        """Show the new task, and answer with it."""
        self.show([retried])
        self.accept_task(retried.failure.task_id)

    def accept_task(self, task_id: str) -> None:
        """Answer with a new task."""
        self.set_status(202)
        self.finish({"message": "Retried as a new task.", "task_id": task_id})

    def show(self, retried: Iterable[Retried]) -> None:
        """Have Flower show the new tasks, until it hears of them."""
        for each in retried:
            show_sent(self.application.events.state, each.failure, each.of_task, time.time())

    async def retry_all(self, failures: list[Failure]) -> dict[str, Any]:
        """Retry the first of them, as many as one call may; the answer."""
        retried = await self.beside(self._retrying.revive_all, failures[:BATCH])
        self.show(retried)
        return {"retried": len(retried), "left": max(0, len(failures) - BATCH)}

    async def send_again(self, task: FailedTask) -> str:
        """Send a task that is no retry of an event once more, but once only. The new task's id. Raises `RetryRefusedError`."""
        new_id = next_task_id(task.id)
        if new_id in self._retrying.sent or new_id in self.application.events.state.tasks.data:
            raise RetryRefusedError(409, "Not retried: this task has been retried already.", new_id)
        self._retrying.sent.add(new_id)
        try:
            return await self.beside(self._retrying.send_again, task)
        except BaseException:
            self._retrying.sent.discard(new_id)
            raise


class RetryTask(Call):
    """`POST …/task/<id>`: retry a task that Flower shows as failed."""

    @authenticated
    async def post(self, task_id: str) -> None:
        """202 with the new task, or why not: 404, 409, 410, 422."""
        found = self.application.events.state.tasks.data.get(task_id)
        if found is None:
            raise HTTPError(404, "Not retried: Flower knows no such task any more. Look at the page of failures.")
        if found.state != FAILURE:
            raise HTTPError(409, f"Not retried: this task has not failed, it is {found.state}.")
        task = failed_task(found)
        try:
            if task.handler is None:
                self.accept_task(await self.send_again(task))
            else:
                self.accept(await self.beside(self._retrying.revive, task.handler, self._retrying.event_of(task), task.id))
        except RetryRefusedError as refused:
            self.refuse(refused)


class RetryEvent(Call):
    """`POST …/event`: retry one record, if the task that it names is still the one that failed."""

    @authenticated
    async def post(self) -> None:
        """202 with the new task, or why not: 409, 410."""
        try:
            self.accept(await self.beside(self._retrying.revive, *self.body("handler", "event_id", "task_id")))
        except RetryRefusedError as refused:
            self.refuse(refused)


class RetryGroup(Call):
    """`POST …/group`: retry all dead of a handler and a reason."""

    @authenticated
    async def post(self) -> None:
        """How many are retried, and how many are left for the next call."""
        handler, reason = self.body("handler", "reason")
        dead = await self.beside(self._retrying.dead, lambda failure: (failure.handler, failure.reason) == (handler, reason))
        self.finish(await self.retry_all(dead))


class RetrySearch(Call):
    """`…/search`: all that failed and that a search in Flower's own syntax finds. GET counts, POST retries.

    Counts failed events that are dead still, since Flower shows a task as failed for ever, and other tasks not yet sent again.
    """

    @authenticated
    async def get(self) -> None:
        """How many there are."""
        dead, others = await self._found(self.get_query_argument("search", ""))
        self.finish({"count": len(dead) + len(others)})

    @authenticated
    async def post(self) -> None:
        """How many are retried, how many are left for the next call, and why some are not."""
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
        known = {*self._retrying.sent, *state.tasks.data}
        others = [task for task in tasks if task.handler is None and next_task_id(task.id) not in known]
        return await self.beside(self._retrying.dead, lambda failure: failure.task_id in found), others


def failed_task(task: Any) -> FailedTask:
    """A copy of what Flower knows, for use in a thread."""
    queue = getattr(task, "queue", None) or task.routing_key
    return FailedTask(task.uuid, task.name or "", task.args, task.kwargs, queue, task.root_id)
