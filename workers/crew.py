"""The crew: what one worker process does, lane by lane."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from schemas import keys
from schemas.durations import milliseconds
from schemas.settings import Settings
from schemas.tasks import LANE_DELIVER, LANE_HOUSEKEEP
from workers.bells import Bells
from workers.channel import Channels
from workers.deliver import Deliver
from workers.drain import Drain, Router
from workers.drift import Drift
from workers.entries import Entry, events_in
from workers.errors import Unreachable
from workers.failures import Failures
from workers.handle import Handle
from workers.handler import Handler
from workers.housekeeping import Housekeeping
from workers.lane import CHECKS, DRAIN_BATCH, Lane
from workers.ledger.ledger import Ledger
from workers.retry import Retrier, Retries
from workers.store import UNAVAILABLE, Store
from workers.turn import Turn

log = logging.getLogger("curbside.workers")


class Crew:
    """All lanes of one worker process. `run` is what a doorbell calls."""

    def __init__(
        self,
        settings: Settings,
        handlers: Sequence[Handler],
        *,
        store: Store,
        bells: Bells,
        failures: Failures,
        retries: Retries,
        drift: Drift,
        consumer: str,
        stopping: threading.Event,
    ) -> None:
        zone, seen_ms = settings.store_timezone, milliseconds(settings.dedupe_window)
        self._ledger, self._channels = Ledger(settings), Channels(settings)
        self._deliver = Deliver(self._ledger, store, bells, self._channels)

        def lane(name: str, stream: str, process: Callable[[Sequence[Entry]], None], **options: Any) -> Callable[[], None]:
            return Lane(name, stream, process, store=store, bells=bells, consumer=consumer, stopping=stopping, **options).run

        drain = Drain(store, bells, Router(handlers), zone=zone, seen_ms=seen_ms, drift=drift)
        names = [each.name for each in handlers]
        self._lanes = {
            keys.DRAIN: lane(keys.DRAIN, keys.INBOX, drain.process, batch=DRAIN_BATCH),
            LANE_DELIVER: _alone(self._deliver.run),
            LANE_HOUSEKEEP: _alone(Housekeeping(store, names, settings.inbox_retention).run),
        }
        for each in handlers:
            handle = Handle(each, store, self._ledger, self._deliver, zone)
            self._lanes[each.name] = lane(
                each.name, keys.todo(each.name), handle.process, events_in=events_in, most_at_once=CHECKS
            )

        self._retrier = Retrier(
            handlers,
            failures=failures,
            retries=retries,
            store=store,
            bells=bells,
            ledger=self._ledger,
            deliver=self._deliver,
            zone=zone,
            seen_ms=seen_ms,
        )

    def retry(self, handler: str, event_id: str) -> None:
        """Try one failed event again; raises what Celery is to show."""
        self._retrier.run(handler, event_id)

    def run(self, lane: str) -> None:
        """Work a lane until there is nothing to do."""
        self._lanes[lane]()

    def close(self) -> None:
        """Close what the crew opened, after the alerts that are on their way."""
        self._deliver.close()
        self._channels.close()
        self._ledger.close()


def _alone(run: Callable[[], None]) -> Callable[[], None]:
    """One at a time in this process; the world being away is logged, and tried again at the timer's next ring."""
    turn = Turn()

    def run_alone() -> None:
        if not turn.take():
            return
        try:
            run()
            while not turn.end():
                run()
        except (Unreachable, *UNAVAILABLE) as error:
            turn.abandon()
            log.warning("%s is unreachable; it will be tried again", error if isinstance(error, Unreachable) else "Valkey")
        except BaseException:
            turn.abandon()
            raise

    return run_alone
