"""The timer of every worker: it makes up for any lost notification within a second or two. There is no beat process."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from celery import bootsteps

from schemas import keys
from schemas.tasks import DELIVER_QUEUE, HOUSEKEEP_QUEUE
from workers.consumers.notifier import Notifier
from workers.consumers.stream_consumer import CLAIM_IDLE_MS
from workers.contract_drift import DriftMonitor
from workers.failures.retry_scheduler import RetryScheduler
from workers.housekeeping import PERIOD_MS
from workers.valkey.connection import UNAVAILABLE
from workers.valkey.store import Store

PERIOD_SECONDS = 1.0

log = logging.getLogger("curbside.workers")


class Timer(bootsteps.StartStopStep):  # type: ignore[misc]
    """Celery's hook: runs `Tick` in the worker's main process."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._entry: Any = None

    def start(self, parent: Any) -> None:
        """Start the timer."""
        tick: Tick = parent.app.curbside_tick()
        self._entry = parent.timer.call_repeatedly(PERIOD_SECONDS, tick.run_safely)

    def stop(self, parent: Any) -> None:
        """Stop the timer."""
        if self._entry is not None:
            self._entry.cancel()


class Tick:
    """Once a second: notifies every queue that has work and no consumer."""

    def __init__(
        self, store: Store, notifier: Notifier, scheduler: RetryScheduler, drift: DriftMonitor, handlers: Sequence[str]
    ) -> None:
        self._store, self._notifier, self._scheduler, self._drift = store, notifier, scheduler, drift
        self._queues = [keys.DISPATCH, *handlers]
        self._streams = [keys.INBOX, *map(keys.todo, handlers)]

    def run_safely(self) -> None:
        """Run once. A Valkey outage is logged; the next tick runs a second later."""
        try:
            self.run_once(int(time.time() * 1000))
        except UNAVAILABLE as error:
            log.warning("timer: Valkey is unreachable (%s)", type(error).__name__)

    def run_once(self, now_ms: int) -> None:
        """Notify queues that have unread or abandoned entries, or due work. Send due retries. Flush drift findings."""
        waiting = self._store.backlog(self._streams, CLAIM_IDLE_MS)
        queues = [queue for queue, waits in zip(self._queues, waiting, strict=True) if waits]
        due = self._store.outbox_due_at()
        if due is not None and due <= now_ms:
            queues.append(DELIVER_QUEUE)
        self._notifier.notify(queues)
        self._scheduler.send_due()
        self._drift.flush()
        if self._store.try_notify(HOUSEKEEP_QUEUE, PERIOD_MS):
            self._notifier.send([HOUSEKEEP_QUEUE])
            # A worker that was killed between its commit and its notification may have left an alert without a due time.
            self._notifier.notify([DELIVER_QUEUE])
