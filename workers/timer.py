"""A timer in every worker, so that no lost Celery message costs more than a second or two. There is no beat process.

Once a second it looks which lanes have something that nobody works on, and rings for them.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from celery import bootsteps

from schemas import keys
from schemas.tasks import LANE_DELIVER, LANE_HOUSEKEEP
from workers.bells import Bells
from workers.drift import Drift
from workers.housekeeping import PERIOD_MS
from workers.lane import CLAIM_IDLE_MS
from workers.retry import Retries
from workers.store import UNAVAILABLE, Store

PERIOD_SECONDS = 1.0

log = logging.getLogger("curbside.workers")


class Timer(bootsteps.StartStopStep):  # type: ignore[misc]
    """Celery's hook: ticks in the worker's main process."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._entry: Any = None

    def start(self, parent: Any) -> None:
        """Begin to tick."""
        tick: Tick = parent.app.curbside_tick()
        self._entry = parent.timer.call_repeatedly(PERIOD_SECONDS, tick.safely)

    def stop(self, parent: Any) -> None:
        """Stop ticking."""
        if self._entry is not None:
            self._entry.cancel()


class Tick:
    """One look at everything that may need a doorbell."""

    def __init__(self, store: Store, bells: Bells, retries: Retries, drift: Drift, handlers: Sequence[str]) -> None:
        self._store, self._bells, self._retries, self._drift = store, bells, retries, drift
        self._lanes = [keys.DRAIN, *handlers]
        self._streams = [keys.INBOX, *map(keys.todo, handlers)]

    def safely(self) -> None:
        """Look; Valkey being away is logged, and looked at again in a second."""
        try:
            self.look(int(time.time() * 1000))
        except UNAVAILABLE as error:
            log.warning("timer: Valkey is unreachable (%s)", type(error).__name__)

    def look(self, now_ms: int) -> None:
        """Ring for lanes with untaken or abandoned entries, for alerts and retries that are due, now and then for housekeeping.

        Tells what drift was seen.
        """
        waiting = self._store.backlog(self._streams, CLAIM_IDLE_MS)
        lanes = [lane for lane, waits in zip(self._lanes, waiting, strict=True) if waits]
        due = self._store.outbox_due_at()
        if due is not None and due <= now_ms:
            lanes.append(LANE_DELIVER)
        self._bells.ring(lanes)
        self._retries.send_due()
        self._drift.tell()
        if self._store.try_ring(LANE_HOUSEKEEP, PERIOD_MS):
            self._bells.send([LANE_HOUSEKEEP])
            self._bells.ring(
                [LANE_DELIVER]
            )  # a worker that was killed between commit and ring may have left an alert unannounced
