"""The heartbeat of a worker process: one thread renews every claim and lease that the process works on.

A batch may therefore take as long as it takes. A worker that is frozen or dead renews nothing, and loses what it held.
"""

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import NamedTuple

from workers.valkey.connection import UNAVAILABLE

PERIOD_SECONDS = 3.0
"""A claim is lost after three missed beats."""
LONG_SECONDS = 60.0

log = logging.getLogger("curbside.workers")


class Held(NamedTuple):
    """What a thread of the process works on, since when, and how its claim is renewed."""

    what: str
    since: float
    renew: Callable[[], object]


class Heartbeat:
    """Renews what is held. Safe to share between threads. The thread starts with the first thing that is held."""

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}
        self._numbers, self._lock = itertools.count(), threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def holding(self, what: str, renew: Callable[[], object]) -> Iterator[None]:
        """Call `renew` every few seconds until the block ends. What ends sooner costs no call."""
        number = next(self._numbers)
        self._held[number] = Held(what, monotonic(), renew)
        if self._thread is None:
            self._start()
        try:
            yield
        finally:
            del self._held[number]

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closed.wait(PERIOD_SECONDS):
            self.beat(monotonic())

    def beat(self, now: float) -> None:
        """Renew what has been held for at least half a period. An outage of Valkey is logged; the next beat tries again."""
        for held in list(self._held.values()):
            age = now - held.since
            if age < PERIOD_SECONDS / 2:
                continue
            try:
                held.renew()
            except UNAVAILABLE as error:
                log.warning("a claim of %s was not renewed: Valkey is unreachable (%s)", held.what, type(error).__name__)
            if age % LONG_SECONDS < PERIOD_SECONDS <= age - PERIOD_SECONDS:
                log.warning("a batch of %s has been worked on for %.0f s", held.what, age)
