"""The message broker as this process sees it: sends Celery messages, and knows since when the broker is away.

One thread sends, so no work ever waits for a broker that hangs. A message that cannot be sent is given back to its sender at
once (`unsent`), and so is each that follows, until the broker answers again. Nothing is lost with it: a message carries no event.
"""

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple

from celery import Celery
from kombu.exceptions import OperationalError

from schemas.tasks import DELIVER_QUEUE, queue_name, task_name

PAUSE_SECONDS = 5.0
"""After a message that could not be sent, the next one is tried after this time. Those in between are given back at once."""
PATIENCE_SECONDS = 2.0
"""A worker without a connection for this time works without the broker."""

log = logging.getLogger("curbside.workers")


class Outage(NamedTuple):
    """The broker is away: since when, in epoch seconds, and the error's name."""

    since: float
    why: str


class _Message(NamedTuple):
    task: str
    queue: str
    unsent: Callable[[], object]
    options: dict[str, Any]
    is_probe: bool


class Broker:
    """Safe to share between threads. A process that consumes nothing never calls `connected` and `disconnected`."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._lock = threading.Lock()
        self._messages = SimpleQueue[_Message | threading.Event | None]()
        self._thread: threading.Thread | None = None
        self._unsent: Outage | None = None
        self._lost: Outage | None = None
        self._next_try = self._lost_until = 0.0

    def knows(self, task: str) -> bool:
        """Whether this release has a task of that name."""
        return task in self._celery.tasks

    def send(self, task: str, queue: str, unsent: Callable[[], object], **options: Any) -> None:
        """Send a message of `queue`, in the background. `unsent` is called if it was not sent: at once, or by the sender."""
        with self._lock:
            is_away = self._away() is not None
            is_probe = is_away and self._lost is None and time.monotonic() >= self._next_try
            if is_probe:
                self._next_try = time.monotonic() + PAUSE_SECONDS
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
                self._thread.start()
        if is_away and not is_probe:
            unsent()
        else:
            self._messages.put(_Message(task, queue, unsent, options, is_probe))

    def probe(self) -> None:
        """Try whether the broker takes messages again: with one that asks for due alerts, which is harmless."""
        self.send(task_name(DELIVER_QUEUE), DELIVER_QUEUE, lambda: None, expires=PAUSE_SECONDS)

    @property
    def away(self) -> Outage | None:
        """The outage of the broker, if it is away."""
        with self._lock:
            return self._away()

    def connected(self) -> None:
        """The worker's consumer is connected: what could not be sent before can be sent now."""
        with self._lock:
            self._lost = self._unsent = None

    def disconnected(self) -> None:
        """The worker's consumer has no connection to the broker (yet, or any more)."""
        with self._lock:
            if self._lost is None:
                self._lost = Outage(time.time(), "not connected")
                self._lost_until = time.monotonic() + PATIENCE_SECONDS

    def flush(self) -> None:
        """Wait until the messages before this call are sent or given back."""
        if self._thread is not None:
            reached = threading.Event()
            self._messages.put(reached)
            reached.wait()

    def close(self) -> None:
        """Stop sending, after the messages before this call."""
        if self._thread is not None:
            self._messages.put(None)
            self._thread.join()

    def _away(self) -> Outage | None:
        lost = self._lost if time.monotonic() >= self._lost_until else None
        return min((each for each in (self._unsent, lost) if each is not None), default=None)

    def _run(self) -> None:
        while (message := self._messages.get()) is not None:
            if isinstance(message, threading.Event):
                message.set()
            else:
                self._send(message)

    def _send(self, message: _Message) -> None:
        if self._unsent is not None and not message.is_probe:  # it was queued behind the one that failed
            message.unsent()
            return
        try:
            self._celery.send_task(message.task, queue=queue_name(message.queue), **message.options)
        except OperationalError as error:
            with self._lock:
                self._next_try = time.monotonic() + PAUSE_SECONDS
                self._unsent = self._unsent or Outage(time.time(), type(error.__cause__ or error).__name__)
            message.unsent()
        except Exception:  # the thread must not end: later messages need it
            log.exception("a message of %s was not sent", message.queue)
            message.unsent()
        else:
            with self._lock:
                self._unsent = None
