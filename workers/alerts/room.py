"""The room of one channel: its own few threads and its own short queue. A channel that hangs holds up only itself.

Each call runs in a thread of its own and has a deadline. One that is not back by then counts as failed. Its thread may hang for
ever: it takes a place of this channel, holds up no other, and not the end of the process. While a channel has no place left,
nothing is sent through it.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

from workers.alerts import deadline
from workers.alerts.deadline import Deadline, no_answer
from workers.errors import DeliveryError

PARALLEL = 8
BATCH = 2 * PARALLEL
"""Alerts that a channel has at once, sent and queued. All are sent before their lease ends, even if each takes its full time."""


class Room:
    """One channel's threads. Safe to share between threads."""

    def __init__(self, channel: str) -> None:
        self._name = f"alert-{channel}"
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix=self._name)
        self._jobs: set[Future[None]] = set()
        self._lock, self._hanging = threading.Lock(), 0

    @property
    def is_stuck(self) -> bool:
        """Whether every place is taken by a call that has outlived its deadline."""
        return self._hanging >= PARALLEL

    @property
    def jobs(self) -> set[Future[None]]:
        """What is sent now, and what is queued."""
        return set(self._jobs)

    @property
    def free(self) -> int:
        """How many alerts can be started now."""
        return 0 if self.is_stuck else max(0, BATCH - len(self._jobs))

    def start(self, job: Callable[[], None]) -> Future[None] | None:
        """Run a job in one of the room's threads; None if the room is closed. A job makes one `call`."""
        with suppress(RuntimeError):
            future = self._pool.submit(job)
            self._jobs.add(future)
            future.add_done_callback(self._jobs.discard)
            return future
        return None

    def call(self, send: Callable[[Deadline], None], when_late: Callable[[], None]) -> None:
        """Call `send`, and wait for it until the deadline. Raises what it raises, or `DeliveryError` if it is not back.

        `when_late` is called if it succeeds after that.
        """
        limit, outcome = Deadline(), Future[None]()
        threading.Thread(target=_run, args=(send, limit, outcome), name=f"{self._name}-call", daemon=True).start()
        wait([outcome], deadline.DEADLINE_SECONDS)
        if outcome.done():
            return outcome.result()
        with self._lock:
            self._hanging += 1
        limit.end()
        outcome.add_done_callback(lambda _: self._is_back(outcome, when_late))
        raise DeliveryError(no_answer())

    def close(self) -> None:
        """Start no more jobs, and drop those that are queued."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def join(self) -> None:
        """After `close`: wait for the jobs that run, at most until their deadline."""
        self._pool.shutdown()

    def _is_back(self, outcome: Future[None], when_late: Callable[[], None]) -> None:
        with self._lock:
            self._hanging -= 1
        if outcome.exception() is None:
            when_late()


def _run(send: Callable[[Deadline], None], limit: Deadline, outcome: Future[None]) -> None:
    try:
        send(limit)
    except BaseException as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(None)
