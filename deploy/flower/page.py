"""The page of failures: the whole record, grouped by handler and reason, with counts. It does not depend on Flower's memory."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from flower.views import BaseHandler
from tornado.web import HTTPError, authenticated

from schemas.failures import Failure, FailureState, Reason
from schemas.sanitizing import sanitize
from workers.failures.error_report import headline
from workers.failures.failure_store import FailureStore
from workers.valkey.connection import UNAVAILABLE

LISTED = 50
"""How many failures of a group are listed one by one, the newest first."""


@dataclass(frozen=True)
class Row:
    """One failure as shown. It holds no personal data: no body, and no error text that may quote one."""

    event_id: str
    task_id: str
    order_ids: str
    why: str
    attempts: int
    state: str
    failed_at: float

    @property
    def is_dead(self) -> bool:
        """Whether it waits for an operator."""
        return self.state == FailureState.DEAD


@dataclass(frozen=True)
class Group:
    """All failures of a handler with one reason. `rows` are the newest, the dead first."""

    handler: str
    reason: Reason
    dead: int
    retrying: int
    discarded: int
    rows: list[Row]

    @property
    def unlisted(self) -> int:
        """How many failures are not in `rows`."""
        return self.dead + self.retrying + self.discarded - len(self.rows)


def grouped(failures: Iterable[Failure]) -> list[Group]:
    """Return the groups, those with the most dead first. Pure."""
    members: dict[tuple[str, Reason], list[Failure]] = {}
    for failure in failures:
        members.setdefault((failure.handler, failure.reason), []).append(failure)
    groups = [_group(handler, reason, of_group) for (handler, reason), of_group in members.items()]
    return sorted(groups, key=lambda group: (-group.dead, -group.retrying, group.handler, group.reason))


def _group(handler: str, reason: Reason, failures: list[Failure]) -> Group:
    states = [failure.state for failure in failures]
    failures.sort(key=lambda failure: (failure.state is not FailureState.DEAD, -failure.last_at_ms))
    return Group(
        handler,
        reason,
        dead=states.count(FailureState.DEAD),
        retrying=states.count(FailureState.RETRYING),
        discarded=states.count(FailureState.DISCARDED),
        rows=[_row(failure) for failure in failures[:LISTED]],
    )


def _row(failure: Failure) -> Row:
    return Row(
        event_id=failure.event_id,
        task_id=failure.task_id,
        order_ids=sanitize(" ".join(failure.order_ids)),
        why=headline(failure),
        attempts=failure.attempts,
        state=failure.state,
        failed_at=failure.last_at_ms / 1000,
    )


class FailuresPage(BaseHandler):  # type: ignore[misc]
    """`GET /failures`."""

    def initialize(self, failures: FailureStore) -> None:
        """Receive the arguments of the route."""
        self._failures = failures

    @authenticated
    async def get(self) -> None:
        """Render the page; 503 if Valkey is unavailable."""
        try:
            groups = await asyncio.get_running_loop().run_in_executor(None, lambda: grouped(self._failures.all()))
        except UNAVAILABLE as error:
            raise HTTPError(503, "Valkey, which holds the failures on record, is unreachable.") from error
        known = self.application.events.state.tasks.data
        self.render("failures.html", groups=groups, known=known, read_only=self.application.options.read_only)
