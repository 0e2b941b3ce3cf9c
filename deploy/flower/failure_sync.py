"""Shows every dead failure in Flower, also what Flower did not witness, or has forgotten: it looks at the record now and again.

The record is the truth, so a look only adds what is dead in it and not yet FAILURE in Flower's memory; what was revived or applied
meanwhile is not dead, and not shown again. The record is read off Flower's loop, page by page. The first round goes through all of it;
after that each look is short, however much has failed, and goes on where the last one stopped. At most half of Flower's memory is
used for it; the page of failures has all.
"""

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from flower.events import Events
from tornado.ioloop import PeriodicCallback

from deploy.flower.task_state import show_dead
from schemas.failures import Failure, FailureState
from workers.failures.failure_store import FailureStore
from workers.valkey.connection import UNAVAILABLE

PERIOD_SECONDS = 2.0
LOOK_SECONDS = 0.2
PAGE = 200

log = logging.getLogger("curbside.flower")


class CurbsideEvents(Events):  # type: ignore[misc]
    """Flower's events, and with them the looks at the record."""

    def __init__(self, failures: FailureStore, celery: Any, **options: Any) -> None:
        super().__init__(celery, **options)
        self._announcer = Announcer(failures, self.state)
        self._looks = PeriodicCallback(self._announcer.look, PERIOD_SECONDS * 1000)

    def start(self) -> None:
        """Begin, with a look at once."""
        super().start()
        self.io_loop.add_callback(self._announcer.look)
        self._looks.start()

    def stop(self) -> None:
        """Stop looking."""
        self._looks.stop()
        super().stop()


class Announcer:
    """One round after the other through the record, a bit at each look."""

    def __init__(self, failures: FailureStore, state: Any) -> None:
        self._failures, self._state = failures, state
        self._round: Iterator[Failure] | None = None
        self._dead_in_round = 0
        self._is_first_round = True
        self._is_looking = self._is_away = False

    async def look(self) -> None:
        """Go on with the round for a moment. Valkey being away is logged once, and looked at again at the next look."""
        if self._is_looking:
            return
        self._is_looking = True
        try:
            await self._go_on(math.inf if self._is_first_round else time.monotonic() + LOOK_SECONDS)
            self._is_away = False
        except UNAVAILABLE as error:
            self._round = None
            if not self._is_away:
                log.warning("the record of failures cannot be read (%s); Flower shows what it knows", type(error).__name__)
            self._is_away = True
        finally:
            self._is_looking = False

    async def _go_on(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        if self._round is None:
            self._round, self._dead_in_round = self._failures.all(), 0
        while time.monotonic() < until:
            page = await loop.run_in_executor(None, _take, self._round)
            for failure in page:
                self._show(failure)
            if len(page) < PAGE:
                self._round, self._is_first_round = None, False
                return

    def _show(self, failure: Failure) -> None:
        if failure.state is FailureState.DEAD:
            self._dead_in_round += 1
            if self._dead_in_round <= self._state.max_tasks_in_memory // 2:
                show_dead(self._state, failure)


def _take(round_: Iterator[Failure]) -> list[Failure]:
    return list(islice(round_, PAGE))
