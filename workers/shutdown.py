"""The end of a worker process: it waits for the work of this process, and only so long for Celery and the broker.

Celery closes its connections in an orderly way. With a broker that hangs this can take a minute, and nothing is gained by it: what
was not acknowledged to the broker is only notifications.
"""

import logging
import os
import threading
from collections.abc import Callable

GRACE_SECONDS = 3.0
"""How long Celery may take after this process's own work has ended."""

log = logging.getLogger("curbside.workers")


class Shutdown:
    """Ends a process whose Celery does not. `wait_until_idle` returns when no work runs; `close` closes what the runtime opened."""

    def __init__(self, stopping: threading.Event, wait_until_idle: Callable[[], None], close: Callable[[], None]) -> None:
        self._stopping, self._wait_until_idle, self._close = stopping, wait_until_idle, close
        self._celery_has_ended = threading.Event()
        threading.Thread(target=self._run, name="shutdown", daemon=True).start()

    def finish(self) -> None:
        """Celery has ended: the process ends by itself."""
        self._celery_has_ended.set()

    def _run(self) -> None:
        self._stopping.wait()
        self._wait_until_idle()
        if self._celery_has_ended.wait(GRACE_SECONDS):
            return
        log.warning("the broker does not let go of this worker after %d s: it ends without", GRACE_SECONDS)
        self._close()
        logging.shutdown()
        os._exit(0)
