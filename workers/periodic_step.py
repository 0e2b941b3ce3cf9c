"""A step of the worker that does something once a second, in a thread of its own.

Celery's own timer stands still while Celery has no connection to the broker.
"""

import threading
from collections.abc import Callable
from typing import Any

from celery import bootsteps

PERIOD_SECONDS = 1.0


class PeriodicStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Celery's hook: runs from before the worker connects to the broker until it stops."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()

    def task(self, parent: Any) -> Callable[[], object]:
        """What is done each second. It raises nothing."""
        raise NotImplementedError

    def start(self, parent: Any) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, args=(self.task(parent),), name=type(self).__name__, daemon=True).start()

    def stop(self, parent: Any) -> None:
        """Stop it."""
        self._stop.set()

    def _run(self, task: Callable[[], object]) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            task()
