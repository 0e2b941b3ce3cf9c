"""Logs an outage once for each cause, then once a minute while it lasts, and once when it is over, however many threads meet it."""

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
        self._cause, self._next = "", 0.0

    @property
    def is_on(self) -> bool:
        """Whether an outage was noted and is not over."""
        return self._since is not None

    def note(self, error: Exception) -> None:
        """The dependency does not do what it is asked."""
        with self._lock:
            now = self._clock()
            self._since = now if self._since is None else self._since
            cause = cause_of(error)
            if cause == self._cause and now < self._next:
                return
            self._cause, self._next = cause, now + REPEAT_SECONDS
            lasted = int(now - self._since)
        log.warning("%s is unreachable (%s): work waits for it%s", self._dependency, cause, _for(lasted))

    def over(self) -> None:
        """The dependency works."""
        with self._lock:
            since, self._since, self._cause = self._since, None, ""
        if since is not None:
            log.info("%s works again, after %d s", self._dependency, int(self._clock() - since))


def _for(seconds: int) -> str:
    return f", for {seconds} s now" if seconds else ""
