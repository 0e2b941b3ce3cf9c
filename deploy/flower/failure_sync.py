"""Synchronises Flower's memory with the failures on record, including tasks that Flower did not see or has forgotten.

The record is authoritative. A run only adds failures that are dead in the record and not yet FAILURE in Flower's memory, so
a failure retried or applied meanwhile is not shown again. Pages of the record are read outside Flower's loop. The first pass
reads the whole record. Later runs are short, however much has failed, and continue where the last one stopped. Failures fill
at most half of Flower's memory; the page of failures lists all.
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

from deploy.flower.task_state import add_dead
from schemas.failures import Failure, FailureState
from workers.failures.failure_store import FailureStore
from workers.valkey.connection import UNAVAILABLE

PERIOD_SECONDS = 2.0
RUN_SECONDS = 0.2
PAGE = 200

log = logging.getLogger("curbside.flower")


class CurbsideEvents(Events):  # type: ignore[misc]
    """Flower's events, with a periodic sync of the failures on record."""

    def __init__(self, failures: FailureStore, celery: Any, **options: Any) -> None:
        super().__init__(celery, **options)
        self._sync = FailureSync(failures, self.state)
        self._timer = PeriodicCallback(self._sync.run_once, PERIOD_SECONDS * 1000)

    def start(self) -> None:
        """Start, with a first run at once."""
        super().start()
        self.io_loop.add_callback(self._sync.run_once)
        self._timer.start()

    def stop(self) -> None:
        """Stop the sync and Flower's events."""
        self._timer.stop()
        super().stop()


class FailureSync:
    """Reads the record in passes, a few pages per run."""

    def __init__(self, failures: FailureStore, state: Any) -> None:
        self._failures, self._state = failures, state
        self._pass: Iterator[Failure] | None = None
        self._dead_in_pass = 0
        self._is_first_pass = True
        self._is_running = self._is_unavailable = False

    async def run_once(self) -> None:
        """Continue the pass for `RUN_SECONDS`. An outage of Valkey is logged once; the next run starts a new pass."""
        if self._is_running:
            return
        self._is_running = True
        try:
            await self._continue(math.inf if self._is_first_pass else time.monotonic() + RUN_SECONDS)
            self._is_unavailable = False
        except UNAVAILABLE as error:
            self._pass = None
            if not self._is_unavailable:
                log.warning("the failures on record cannot be read (%s); Flower shows those it knows", type(error).__name__)
            self._is_unavailable = True
        finally:
            self._is_running = False

    async def _continue(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        if self._pass is None:
            self._pass, self._dead_in_pass = self._failures.all(), 0
        while time.monotonic() < until:
            page = await loop.run_in_executor(None, _next_page, self._pass)
            for failure in page:
                self._add_if_dead(failure)
            if len(page) < PAGE:
                self._pass, self._is_first_pass = None, False
                return

    def _add_if_dead(self, failure: Failure) -> None:
        if failure.state is FailureState.DEAD:
            self._dead_in_pass += 1
            if self._dead_in_pass <= self._state.max_tasks_in_memory // 2:
                add_dead(self._state, failure)


def _next_page(failures: Iterator[Failure]) -> list[Failure]:
    return list(islice(failures, PAGE))
