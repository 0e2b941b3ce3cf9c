"""The timer of every worker: it starts whatever no message has started, within a second or two. There is no beat process."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from schemas import keys
from schemas.tasks import DELIVER_QUEUE, HOUSEKEEP_QUEUE
from workers.broker_watch import BrokerWatch
from workers.consumers.notifier import Notifier
from workers.consumers.stream_consumer import CLAIM_IDLE_MS
from workers.contract_drift import DriftMonitor
from workers.failures.retry_scheduler import RetryScheduler
from workers.housekeeping import PERIOD_MS
from workers.local_work import LocalWork
from workers.periodic_step import PeriodicStep
from workers.resources import Resources
from workers.valkey.connection import UNAVAILABLE
from workers.valkey.store import Store

log = logging.getLogger("curbside.workers")


class Timer(PeriodicStep):
    """Celery's hook: runs `Tick`."""

    def task(self, parent: Any) -> Callable[[], object]:
        """One tick of this worker."""
        tick: Tick = parent.app.curbside_tick(parent.hostname)
        return tick.run_safely


class Tick:
    """Once a second: notifies, or starts, every queue of this process that has work and no consumer."""

    def __init__(
        self,
        store: Store,
        notifier: Notifier,
        scheduler: RetryScheduler,
        drift: DriftMonitor,
        handlers: Sequence[str],
        local: LocalWork,
        watch: BrokerWatch,
    ) -> None:
        self._store, self._notifier, self._scheduler, self._drift = store, notifier, scheduler, drift
        self._local, self._watch = local, watch
        self._queues = [keys.DISPATCH, *handlers]

    def run_safely(self) -> None:
        """Run once. Any error is logged; the next tick runs a second later."""
        try:
            self.run_once(int(time.time() * 1000))
        except UNAVAILABLE as error:
            self._store.outage.note(error)
        except Exception:
            log.exception("timer: it goes on")

    def run_once(self, now_ms: int) -> None:
        """Notify queues that have unread or abandoned entries, or due work. Start due retries. Flush drift findings."""
        queues = [queue for queue in self._queues if self._local.consumes(queue)]
        streams = [keys.INBOX if queue == keys.DISPATCH else keys.todo(queue) for queue in queues]
        waiting = self._store.backlog(streams, CLAIM_IDLE_MS)
        due = [queue for queue, waits in zip(queues, waiting, strict=True) if waits]
        if self._local.consumes(DELIVER_QUEUE):
            due_ms = self._store.outbox_due_at()
            due += [DELIVER_QUEUE] if due_ms is not None and due_ms <= now_ms else []
        self._notifier.notify_or_start(due)
        self._scheduler.send_due()
        self._drift.flush()
        if self._local.consumes(HOUSEKEEP_QUEUE) and self._store.try_notify(HOUSEKEEP_QUEUE, PERIOD_MS):
            self._notifier.send([HOUSEKEEP_QUEUE])
            # A worker that was killed between its commit and its notification may have left an alert without a due time.
            self._notifier.notify([DELIVER_QUEUE])
        self._watch.look()
        self._store.end_outage()
        self._local.resume()


def tick_of(resources: Resources, worker: str) -> Tick:
    """The tick of a worker of that name."""
    its = resources
    watch = BrokerWatch(its.broker, its.store, worker)
    return Tick(its.store, its.notifier, its.scheduler, its.drift, [each.name for each in its.handlers], its.local, watch)
