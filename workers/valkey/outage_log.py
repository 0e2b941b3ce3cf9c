"""Logs an outage once, then once a minute while it lasts, and once when it is over, however many threads meet it."""

import logging
import threading
import time
from collections.abc import Callable

from workers.valkey.connection import cause_of

REPEAT_SECONDS = 60.0

log = logging.getLogger("curbside.workers")


class OutageLog:
    """One dependency's outages. `clock`: seconds that never go back."""

    def __init__(self, dependency: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._dependency, self._clock = dependency, clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._next = 0.0

    def note(self, error: Exception) -> None:
        """The dependency does not do what it is asked."""
        with self._lock:
            now = self._clock()
            self._since = now if self._since is None else self._since
            if now < self._next:
                return
            self._next = now + REPEAT_SECONDS
            lasted = int(now - self._since)
        log.warning("%s is unreachable (%s): work waits for it%s", self._dependency, cause_of(error), _for(lasted))

    def over(self) -> None:
        """The dependency works."""
        if self._since is None:
            return
        with self._lock:
            since, self._since, self._next = self._since, None, 0.0
        if since is not None:
            log.info("%s works again, after %d s", self._dependency, int(self._clock() - since))


def _for(seconds: int) -> str:
    return f", for {seconds} s now" if seconds else ""
