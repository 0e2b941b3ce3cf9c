"""A lane: the loop that empties one stream, batch by batch, in one worker process.

It takes back what this worker left unfinished, takes over what a dead one left, then reads new entries until there are none. It
then *lingers*: waits about a second on a blocking read, with a sign up, so that under steady traffic no Celery hop is in an
event's way. No wake-up is lost: on its way out it takes the sign down and looks at the stream once more, and whoever appends
looks at the sign only after the append. A crash anywhere leaves entries pending, and a sign that goes by itself.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from time import monotonic

from workers.bells import Bells
from workers.entries import BATCH, Entry
from workers.errors import Unreachable
from workers.store import UNAVAILABLE, Store
from workers.turn import Turn

DRAIN_BATCH = 1024
"""A drain takes more: it only passes them on, and each batch costs two turns at Valkey and two fsyncs, whatever its size."""
CHECKS = 16
"""Claim checks that are taken at once at the most: were each of them full, it would still be only a second's work."""
LINGER_MS = 1_000
SIGN_LIFETIME_MS = 3_000
SIGN_RENEWAL_SECONDS = 1.0
CLAIM_IDLE_MS = 10_000
"""An entry whose consumer is silent for so long is taken over. Longer than a batch takes; doing one twice is only waste."""
CLAIM_PERIOD_SECONDS = 5.0
MAX_RUN_SECONDS = 30.0
"""A task ends after this long and rings for its successor, so that it can be seen in Flower."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0

log = logging.getLogger("curbside.workers")


class Lane:
    """One per stream and process. `process` handles a batch and acknowledges it, or raises `Unreachable`.

    `events_in`: how many events an entry stands for; `batch`: events that are taken at once, about; `most_at_once`: entries that are
    taken at the most (a batch of them).
    """

    def __init__(
        self,
        name: str,
        stream: str,
        process: Callable[[Sequence[Entry]], None],
        *,
        store: Store,
        bells: Bells,
        consumer: str,
        stopping: threading.Event,
        events_in: Callable[[Entry], int] = lambda _: 1,
        batch: int | None = None,
        most_at_once: int | None = None,
    ) -> None:
        self.name, self.stream = name, stream
        self._events_in, self._batch = events_in, batch or BATCH
        self._count = self._most_at_once = most_at_once or self._batch
        self._process, self._store, self._bells = process, store, bells
        self._consumer, self._stopping = consumer, stopping
        self._turn = Turn()
        self._next_claim = self._next_sign = 0.0

    def run(self) -> None:
        """Work until the stream is empty, the time is up or the worker stops."""
        if not self._turn.take():
            return
        try:
            while True:
                self._work()
                if self._turn.end():
                    return
        except UNAVAILABLE as error:
            self._turn.abandon()
            log.warning("lane %s: Valkey is unreachable (%s); a timer will ring again", self.name, type(error).__name__)
        except BaseException:
            self._turn.abandon()
            raise

    def _work(self) -> None:
        until = monotonic() + MAX_RUN_SECONDS
        self._store.ensure_groups([self.stream])
        self._store.answer_bell(self.name)
        pauses = 0
        while True:
            try:
                self._finish_own()
                more = self._empty(until)
                break
            except Unreachable as error:
                pauses += 1
                self._pause(error, pauses, until)
                if self._is_over(until):
                    more = True
                    break
        if pauses:
            self._store.note_reachable(self.name)
        if more:
            self._bells.ring([self.name])

    def _finish_own(self) -> None:
        """Handle what this worker took and did not finish: before a crash, or because the world was away."""
        after = "0"
        while entries := self._store.read_own(self.stream, self._consumer, after, self._count):
            self._process_in_parts(entries)
            after = entries[-1].id

    def _empty(self, until: float) -> bool:
        """Handle entries until there are none; True if there may be more but the time is up."""
        while True:
            while (entries := self._next(until)) is not None:
                self._process_in_parts(entries)
            self._next_sign = 0.0
            self._store.stop_lingering(self.name, self._consumer)
            if self._is_over(until):
                return True
            if not (last := self._store.read(self.stream, self._consumer, self._count)):
                return False
            self._process_in_parts(last)

    def _process_in_parts(self, entries: Sequence[Entry]) -> None:
        """Handle entries, about a batch of events at a time, and see from them how many to take next."""
        events = max(1, sum(map(self._events_in, entries)))
        self._count = max(1, min(self._most_at_once, self._batch * len(entries) // events))
        if events <= 2 * self._batch:
            self._process(entries)
            return
        for at in range(0, len(entries), self._count):
            self._process(entries[at : at + self._count])

    def _next(self, until: float) -> list[Entry] | None:
        """The next batch; None if there is nothing to do, also after waiting, or if it is time to go."""
        if self._is_over(until):
            return None
        if monotonic() >= self._next_claim:
            self._next_claim = monotonic() + CLAIM_PERIOD_SECONDS
            if claimed := self._store.claim(self.stream, self._consumer, CLAIM_IDLE_MS, self._count):
                self._next_claim = 0.0
                return claimed
        count = self._count
        entries = self._store.read(self.stream, self._consumer, count, LINGER_MS if self._keeps_sign_up() else None)
        if len(entries) == count:
            self._bells.ring_for_help(self.name)
        return entries or None

    def _keeps_sign_up(self) -> bool:
        """Whether our sign is up; it is renewed long before it goes, and not for every batch: that would be an fsync each."""
        if monotonic() >= self._next_sign:
            if not self._store.linger(self.name, self._consumer, SIGN_LIFETIME_MS):
                return False
            self._next_sign = monotonic() + SIGN_RENEWAL_SECONDS
        return True

    def _is_over(self, until: float) -> bool:
        return self._stopping.is_set() or monotonic() >= until

    def _pause(self, error: Unreachable, pauses: int, until: float) -> None:
        log.warning("lane %s waits: %s is unreachable", self.name, error)
        self._store.note_unreachable(self.name, str(error))
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (pauses - 1), LONGEST_PAUSE_SECONDS, max(0.0, until - monotonic()))
        self._stopping.wait(pause)
