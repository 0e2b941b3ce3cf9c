"""Runs the memory relief once a second in each worker, without any message: a full Valkey takes none."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from workers.periodic_step import PeriodicStep
from workers.valkey.connection import UNAVAILABLE
from workers.valkey.memory_relief import MemoryRelief

log = logging.getLogger("curbside.workers")


class ReliefTimer(PeriodicStep):
    """Celery's hook. The application has the relief as `curbside_relief`."""

    def task(self, parent: Any) -> Callable[[], object]:
        """One look at the memory."""
        return partial(run_safely, parent.app.curbside_relief())


def run_safely(relief: MemoryRelief) -> None:
    """Run once. An error is logged; the next run comes a second later."""
    try:
        relief.run_once()
    except UNAVAILABLE as error:
        log.debug("memory relief: Valkey is unreachable (%s)", type(error).__name__)
    except Exception:
        log.exception("memory relief: it goes on")
