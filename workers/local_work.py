"""Work that a process starts without a Celery message: its own queues and retries, while the broker is away or a message is lost."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from celery.exceptions import Ignore, Retry

from workers.errors import EventFailedError

log = logging.getLogger("curbside.workers")


class LocalWork:
    """Starts work in threads of its own. `consumes`: whether this process works a queue now, which Flower's users may change.

    It does nothing until it is attached to a running worker. A queue that runs already is not run twice at once.
    """

    def __init__(self, consumes: Callable[[str], bool] = lambda _: True) -> None:
        self.consumes = consumes
        self._threads: ThreadPoolExecutor | None = None
        self._stopping = threading.Event()
        self._run: Callable[[str], None] = lambda _: None
        self._retry: Callable[[str, str], None] = lambda *_: None
        self._interrupted: Callable[[], Sequence[str]] = lambda: ()

    def attach(
        self,
        run: Callable[[str], None],
        retry: Callable[[str, str], None],
        interrupted: Callable[[], Sequence[str]],
        stopping: threading.Event,
        threads: int,
    ) -> None:
        """From now on, until `stopping`, work: `run` a queue, `retry` a handler's event. `interrupted`: queues that Valkey stopped."""
        self._run, self._retry, self._interrupted, self._stopping = run, retry, interrupted, stopping
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="local")

    def start(self, queue: str) -> None:
        """Run a queue, if this process works it."""
        if self.consumes(queue):
            self._submit(lambda: self._run(queue))

    def start_retry(self, handler: str, event_id: str) -> None:
        """Retry a failed event. What Celery would show of it is on record anyway."""

        def retry() -> None:
            with suppress(Ignore, Retry, EventFailedError):
                self._retry(handler, event_id)

        self._submit(retry)

    def resume(self) -> None:
        """Run the queues that an outage of Valkey interrupted in this process."""
        for queue in self._interrupted():
            self.start(queue)

    def close(self) -> None:
        """Finish what runs; leave the rest."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _submit(self, work: Callable[[], None]) -> None:
        def run_logged() -> None:
            try:
                work()
            except Exception:
                log.exception("work without a notification failed; the timer starts it again")

        if self._threads is not None and not self._stopping.is_set():
            with suppress(RuntimeError):  # closed meanwhile
                self._threads.submit(run_logged)
