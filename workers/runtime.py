"""The runtime of one worker process: what each of its queues does."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schemas import keys
from schemas.parsing.durations import milliseconds
from schemas.tasks import DELIVER_QUEUE, HOUSEKEEP_QUEUE
from workers.alerts.channels import Channels
from workers.alerts.outbox_relay import OutboxRelay
from workers.consumers.batch_size import DISPATCH_BATCH, MAX_CLAIM_CHECKS, BatchSize
from workers.consumers.single_flight import SingleFlight
from workers.consumers.stream_consumer import GroupMember, StreamConsumer
from workers.dispatcher import Dispatcher, Router
from workers.errors import DependencyUnavailableError
from workers.event_decoder import EventDecoder
from workers.handler import Handler
from workers.handler_runner import HandlerRunner
from workers.housekeeping import Housekeeping
from workers.ledger.ledger import Ledger
from workers.monitoring.loss_watch import LossWatch
from workers.resources import Resources
from workers.retry_executor import RetryExecutor
from workers.suspects import Suspects
from workers.valkey.connection import UNAVAILABLE
from workers.valkey.entries import BATCH, events_in
from workers.valkey.outage_log import OutageLog

log = logging.getLogger("curbside.workers")


class WorkerRuntime:
    """All that a worker process runs. `consumer`: its name in the consumer groups. `stopping`: set when it must stop."""

    def __init__(self, resources: Resources, consumer: str, stopping: threading.Event) -> None:
        self._resources = resources
        self._closing: list[Callable[[], None]] = [resources.heartbeat.close]
        self._member = GroupMember(consumer, resources.store, resources.notifier, stopping, resources.heartbeat)
        self._ledger = Ledger(resources.settings, stopping=stopping)
        self._relay = OutboxRelay(self._ledger, resources.store, resources.notifier, Channels(resources.settings))
        self._decoder = EventDecoder.of(resources.settings)
        self._executor = RetryExecutor(resources, self._ledger, self._relay)
        names = [each.name for each in resources.handlers]
        housekeeping = Housekeeping(resources.store, names, resources.settings.inbox_retention)
        self._consumers = [self._dispatcher(), *map(self._consumer_for, resources.handlers)]
        outage = resources.store.outage
        LossWatch(resources.store.client, self._ledger, stopping).start()
        self._work: dict[str, Callable[[], None]] = {
            DELIVER_QUEUE: _one_at_a_time(self._relay.run, outage),
            HOUSEKEEP_QUEUE: _one_at_a_time(housekeeping.run, outage),
            **{each.name: each.run for each in self._consumers},
        }
        self._running, self._idle = 0, threading.Condition()

    def run(self, queue: str) -> None:
        """Do a queue's work until none is left. A notification calls this, or the timer."""
        with self._counted():
            self._work[queue]()

    def retry(self, handler: str, event_id: str) -> None:
        """Retry one failed event. Raises what Celery must show."""
        with self._counted():
            self._executor.run(handler, event_id)

    def interrupted(self) -> list[str]:
        """The queues whose last run was ended by an outage of Valkey: what they had read is unfinished."""
        return [each.name for each in self._consumers if each.was_interrupted]

    def wait_until_idle(self) -> None:
        """Wait until no work runs."""
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def close(self) -> None:
        """Close what the runtime opened, after the alerts that are being sent."""
        for close in self._closing:
            close()
        self._resources.local.close()
        self._relay.close()
        self._ledger.close()

    def _dispatcher(self) -> StreamConsumer:
        its, settings = self._resources, self._resources.settings
        seen_ms = milliseconds(settings.dedupe_window)
        dispatcher = Dispatcher(
            its.store,
            its.notifier,
            Router(its.handlers),
            decoder=self._decoder,
            seen_ms=seen_ms,
            drift=its.drift,
            suspects=Suspects(its.store.client),
        )
        return StreamConsumer(keys.DISPATCH, keys.INBOX, dispatcher.process, self._member, BatchSize(DISPATCH_BATCH))

    def _consumer_for(self, handler: Handler) -> StreamConsumer:
        suspects = Suspects(self._resources.store.client, seconds=handler.timeout_seconds)
        runner = HandlerRunner(handler, self._resources.store, self._ledger, self._relay, self._decoder, suspects)
        self._closing.append(suspects.close)
        size = BatchSize(handler.batch or BATCH, MAX_CLAIM_CHECKS, events_in)
        return StreamConsumer(handler.name, keys.todo(handler.name), runner.process, self._member, size)


def _one_at_a_time(run: Callable[[], None], outage: OutageLog) -> Callable[[], None]:
    """At most one run at a time in this process. A dependency outage is logged; the timer notifies again."""
    flight = SingleFlight()

    def run_alone() -> None:
        if not flight.try_start():
            return
        try:
            run()
            while not flight.try_finish():
                run()
        except DependencyUnavailableError as error:
            flight.abort()
            log.warning("%s is unreachable; it will be retried", error)
        except UNAVAILABLE as error:
            flight.abort()
            outage.note(error)
        except BaseException:
            flight.abort()
            raise

    return run_alone
