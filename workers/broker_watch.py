"""Watches a worker's connection to the broker: says in the log and in `curbside status` that the broker is away, and since when."""

import logging
import time
from typing import Any

from celery import bootsteps
from celery.worker import state

from workers.broker import Broker, Outage
from workers.valkey.store import Store

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 10.0
"""Between two attempts of Celery to consume. Its own pauses are only for a broker that takes no connection at all."""

log = logging.getLogger("curbside.workers")


class BrokerStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Celery's hook: tells the worker's `Broker` whether its consumer is connected."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._broker: Broker = parent.app.curbside_broker
        self._broker.disconnected()
        self._pause = FIRST_PAUSE_SECONDS

    def start(self, parent: Any) -> None:
        """The consumer takes messages."""
        self._broker.connected()
        self._pause = FIRST_PAUSE_SECONDS

    def stop(self, parent: Any) -> None:
        """The consumer has lost its connection, or the worker stops."""
        self._broker.disconnected()
        until = time.monotonic() + self._pause
        while parent.blueprint.state == bootsteps.RUN and state.should_stop is None and time.monotonic() < until:
            time.sleep(0.1)
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)


class BrokerWatch:
    """Reports what the broker is to one worker."""

    def __init__(self, broker: Broker, store: Store, worker: str) -> None:
        self._broker, self._store, self._worker = broker, store, worker
        self._reported: Outage | None = None
        self._has_looked = False

    def look(self) -> None:
        """Report a change. The record for `curbside status` expires, and so is written as long as the broker is away."""
        away, before = self._broker.away, self._reported
        if away is not None:
            if before is None:
                log.warning("the broker is unreachable (%s): the queues are worked without notifications", away.why)
            self._broker.probe()
            self._store.note_unreachable(self._field, f"the broker ({away.why})", int(away.since * 1000))
        elif before is not None or not self._has_looked:  # a worker of this name may have ended while the broker was away
            if before is not None:
                log.info("the broker answers again, after %d s", time.time() - before.since)
            self._store.note_reachable(self._field)
        self._reported, self._has_looked = away, True

    @property
    def _field(self) -> str:
        return f"worker {self._worker}"
