"""A stream consumer: the loop that empties one stream, batch by batch, in one worker process.

1. It handles its own pending entries: those that this worker read and did not finish.
2. It claims the entries of workers that have died or are frozen.
3. It reads new entries until there are none.
4. It then waits about a second in a blocking read (the *idle wait*), with its waiter flag set. Under steady traffic an event
   therefore needs no Celery message.

No notification is lost: before it ends, the consumer clears its waiter flag and reads the stream once more, and every writer
checks the flag after its append. A crash anywhere leaves entries pending, and a waiter flag that expires.

While a batch is worked on, its claim is renewed, however long it takes. A batch whose process ended before it was acknowledged
says how often it was delivered (`Batch.deliveries`): `process` decides how carefully it is handled.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from workers.consumers.batch_size import BatchSize, LearnedCount, body_bytes
from workers.consumers.heartbeat import Heartbeat
from workers.consumers.notifier import Notifier
from workers.consumers.single_flight import SingleFlight
from workers.errors import DependencyUnavailableError
from workers.valkey.connection import UNAVAILABLE
from workers.valkey.entries import Batch
from workers.valkey.store import Store

IDLE_WAIT_MS = 1_000
WAITER_FLAG_LIFETIME_MS = 3_000
WAITER_FLAG_RENEWAL_SECONDS = 1.0
CLAIM_IDLE_MS = 10_000
"""An entry is claimed when its claim was not renewed for this time: its worker is dead or frozen."""
CLAIM_PERIOD_SECONDS = 5.0
MAX_RUN_SECONDS = 30.0
"""A task ends after this time and notifies its successor, so that Flower shows it."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0

log = logging.getLogger("curbside.workers")


@dataclass(frozen=True)
class GroupMember:
    """This worker process as a member of the streams' consumer groups: its name there, and what it works with."""

    consumer: str
    store: Store
    notifier: Notifier
    stopping: threading.Event
    heartbeat: Heartbeat = field(default_factory=Heartbeat)


class StreamConsumer:
    """One stream's consumer in this process. `process` acknowledges a batch, or raises `DependencyUnavailableError`."""

    def __init__(
        self,
        name: str,
        stream: str,
        process: Callable[[Batch], None],
        member: GroupMember,
        batch_size: BatchSize | None = None,
    ) -> None:
        self.name, self.stream = name, stream
        self._size = batch_size or BatchSize()
        self._count = LearnedCount(self._size.entries or self._size.events)
        self._process, self._store, self._notifier = process, member.store, member.notifier
        self._consumer, self._stopping, self._heartbeat = member.consumer, member.stopping, member.heartbeat
        self._flight = SingleFlight()
        self._next_claim = self._next_flag = 0.0
        self._has_inherited = True
        """Whether pending entries may be of an earlier process of this name, which ended while it worked on them."""
        self._is_noted = False
        self.was_interrupted = False
        """An outage of Valkey ended the last run; entries that it had read may be unfinished."""

    def run(self) -> None:
        """Work until the stream is empty, the time is up or the worker stops."""
        try:
            if not self._flight.try_start():
                self._store.limit_notified(self.name)
                return
        except UNAVAILABLE:
            return
        try:
            self.was_interrupted = False
            while True:
                self._work()
                if self._flight.try_finish():
                    return
        except UNAVAILABLE as error:
            self.was_interrupted = True
            self._flight.abort()
            self._store.outage.note(error)
        except BaseException:
            self._flight.abort()
            raise

    def _work(self) -> None:
        until = monotonic() + MAX_RUN_SECONDS
        self._store.ensure_groups([self.stream])
        self._store.clear_notified(self.name)
        pauses = 0
        while True:
            try:
                self._finish_own()
                self._note_reachable()
                more = self._empty(until)
                break
            except DependencyUnavailableError as error:
                pauses += 1
                self._pause(error, pauses, until)
                if self._is_over(until):
                    more = True
                    break
        if more:
            self._notifier.notify([self.name])

    def _note_reachable(self) -> None:
        """The outage that an earlier run may have noted is over: what was left unfinished then is handled."""
        if self._is_noted:
            self._store.note_reachable(self.name)
            self._is_noted = False

    def _finish_own(self) -> None:
        """Handle what this worker took and did not finish, because of a crash or a dependency outage."""
        after = "0"
        while entries := self._store.read_own(self.stream, self._consumer, after, self._count.value):
            if self._has_inherited:
                entries.deliveries = self._store.deliveries(self.stream, self._consumer, entries)
            self._process_in_parts(entries)
            after = entries[-1].id
        self._has_inherited = False

    def _empty(self, until: float) -> bool:
        """Handle entries until there are none. True if the time is up and there may be more."""
        while True:
            while (entries := self._next(until)) is not None:
                self._process_in_parts(entries)
            self._next_flag = 0.0
            self._store.clear_waiter_flag(self.name, self._consumer)
            if self._is_over(until):
                return True
            if not (last := self._store.read(self.stream, self._consumer, self._count.value)):
                return False
            self._process_in_parts(last)

    def _process_in_parts(self, entries: Batch) -> None:
        """Handle entries, about a batch of events at a time, and learn from them how many to take next."""
        events_in = self._size.events_in
        events = len(entries) if events_in is None else max(1, sum(map(events_in, entries)))
        self._count.learn(len(entries), body_bytes(entries), self._size.events * len(entries) // events)
        step = len(entries) if events <= 2 * self._size.events else self._count.value
        with self._heartbeat.holding(self.name, partial(self._store.renew, self.stream, self._consumer, entries)):
            if step == len(entries):
                self._process(entries)
                return
            for at in range(0, len(entries), step):
                self._process(entries.part(at, at + step))

    def _next(self, until: float) -> Batch | None:
        """The next batch. None if nothing came during the idle wait, or if the time is up."""
        if self._is_over(until):
            return None
        if monotonic() >= self._next_claim:
            self._next_claim = monotonic() + CLAIM_PERIOD_SECONDS
            if claimed := self._store.claim(self.stream, self._consumer, CLAIM_IDLE_MS, self._count.value):
                self._next_claim = 0.0
                return claimed
        count = self._count.value
        entries = self._store.read(self.stream, self._consumer, count, IDLE_WAIT_MS if self._keeps_waiter_flag() else None)
        if len(entries) == count:
            self._notifier.notify_another(self.name)
        return entries or None

    def _keeps_waiter_flag(self) -> bool:
        """Whether we hold the waiter flag. It is renewed well before it expires, not for every batch: each renewal is an fsync."""
        if monotonic() >= self._next_flag:
            if not self._store.set_waiter_flag(self.name, self._consumer, WAITER_FLAG_LIFETIME_MS):
                return False
            self._next_flag = monotonic() + WAITER_FLAG_RENEWAL_SECONDS
        return True

    def _is_over(self, until: float) -> bool:
        return self._stopping.is_set() or monotonic() >= until

    def _pause(self, error: DependencyUnavailableError, pauses: int, until: float) -> None:
        log.warning("queue %s waits: %s is unreachable", self.name, error)
        self._store.note_unreachable(self.name, str(error))
        self._is_noted = True
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (pauses - 1), LONGEST_PAUSE_SECONDS, max(0.0, until - monotonic()))
        self._stopping.wait(pause)
