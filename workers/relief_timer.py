"""Runs the memory relief once a second in each worker, without any message: a full Valkey takes none."""

import logging
from typing import Any

from celery import bootsteps

from workers.valkey.connection import UNAVAILABLE
from workers.valkey.memory_relief import MemoryRelief

PERIOD_SECONDS = 1.0

log = logging.getLogger("curbside.workers")


class ReliefTimer(bootsteps.StartStopStep):  # type: ignore[misc]
    """A Celery bootstep. The application has the relief as `curbside_relief`."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._entry: Any = None

    def start(self, parent: Any) -> None:
        """Start the timer."""
        relief: MemoryRelief = parent.app.curbside_relief()
        self._entry = parent.timer.call_repeatedly(PERIOD_SECONDS, lambda: run_safely(relief))

    def stop(self, parent: Any) -> None:
        """Stop the timer."""
        if self._entry is not None:
            self._entry.cancel()


def run_safely(relief: MemoryRelief) -> None:
    """Run once. An error is logged; the next run comes a second later."""
    try:
        relief.run_once()
    except UNAVAILABLE as error:
        log.debug("memory relief: Valkey is unreachable (%s)", type(error).__name__)
    except Exception:
        log.exception("memory relief: it goes on")
