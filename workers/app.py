"""The Celery application: its tasks, its queues, and the start and stop of a worker. `python -m workers` runs it.

`workers.app.app` is created from the environment on first access. A wrong setting ends the program with a one-line message.
Nothing is connected until a worker starts. The pool is threads: a process has one runtime, and one consumer of each stream.
"""

import gc
import os
import sys
import threading
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from celery import Celery, signals

from schemas import keys
from schemas.log_records import sanitize_logs
from schemas.parsing.durations import milliseconds
from schemas.processes import SWITCH_INTERVAL_SECONDS
from schemas.sanitizing import sanitize_lines
from schemas.settings import SettingError, Settings, load
from schemas.tasks import DELIVER_QUEUE, HOUSEKEEP_QUEUE, RETRY_QUEUE, broker_options, queue_name, retry_task_name, task_name
from workers.broker_watch import BrokerStep
from workers.errors import EventFailedError, HandlerError
from workers.failures.failure_store import MAX_IN_FLIGHT
from workers.failures.retry_policy import URGENT
from workers.handler import Handler, registered
from workers.relief_timer import ReliefTimer
from workers.resources import open_resources
from workers.runtime import WorkerRuntime
from workers.shutdown import Shutdown
from workers.timer import Timer, tick_of
from workers.valkey.memory_relief import MemoryRelief

SPARE_THREADS = MAX_IN_FLIGHT + 4
"""Threads in addition to one for each queue: for retries, and for notifications of a queue that already has a running task."""

GC_THRESHOLD = 20_000
"""Objects allocated and not freed before the collector visits the youngest."""
HEARTBEAT_SECONDS = 10
"""An AMQP broker that hangs is noticed after twice this time."""


class WorkerRole(StrEnum):
    """Which queues a worker process consumes."""

    ALL = "all"
    URGENT = "urgent"
    """The inbox, the handlers with the URGENT retry policy, and alerts: short batches without long waits."""
    BULK = "bulk"
    """The others."""


def queues_of(handlers: Sequence[Handler], role: WorkerRole) -> list[str]:
    """The Celery queues of a worker with this role."""
    urgent = [*keys.DISPATCH_NAMES, *(each.name for each in handlers if each.retry == URGENT), DELIVER_QUEUE]
    bulk = [*(each.name for each in handlers if each.retry != URGENT), HOUSEKEEP_QUEUE, RETRY_QUEUE]
    chosen = {WorkerRole.ALL: urgent + bulk, WorkerRole.URGENT: urgent, WorkerRole.BULK: bulk}[role]
    return [queue_name(queue) for queue in chosen]


def tune_interpreter() -> None:
    """Shorten the thread switch interval, and freeze imported objects: collecting them stopped all threads for 60 ms.

    A batch of events makes tens of thousands of objects without cycles. Python's own threshold has them visited dozens of times.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def create_app(settings: Settings) -> Celery:
    """Build the application for these settings. From here on, every log line of this process is sanitized."""
    sanitize_logs()
    handlers = registered(settings.handler_modules)
    queues = [keys.DISPATCH, *(each.name for each in handlers), DELIVER_QUEUE, HOUSEKEEP_QUEUE]
    app = Celery("curbside", set_as_current=False)
    app.conf.update(
        broker_options(settings.celery_broker_url),
        task_queues={queue: {} for queue in queues_of(handlers, WorkerRole.ALL)},
        task_default_queue=queue_name(keys.DISPATCH),
        worker_pool="threads",
        worker_concurrency=len(queues) + SPARE_THREADS,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        worker_hijack_root_logger=True,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_channel_error_retry=True,
        broker_heartbeat=HEARTBEAT_SECONDS,
        task_acks_late=False,
        event_queue_expires=60.0,
        worker_log_color=False,
        worker_log_format="%(asctime)s %(levelname)s %(name)s %(message)s",
        worker_task_log_format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    runtime: list[WorkerRuntime] = []
    for queue in queues:
        _add_queue_task(app, task_name(queue), queue, runtime)
    _add_queue_task(app, task_name(keys.RELEASE_0_1_DISPATCH), keys.DISPATCH, runtime)
    for name in (*keys.DISPATCH_NAMES, *(each.name for each in handlers)):
        _add_retry_task(app, name, runtime)
    _connect_to_worker(app, settings, handlers, runtime)
    return app


def _add_queue_task(app: Celery, task: str, queue: str, runtime: list[WorkerRuntime]) -> None:
    def run_queue() -> None:
        runtime[0].run(queue)

    app.task(run_queue, name=task)


def _add_retry_task(app: Celery, handler: str, runtime: list[WorkerRuntime]) -> None:
    def retry(event_id: str) -> None:
        runtime[0].retry(handler, event_id)

    app.task(retry, name=retry_task_name(handler), throws=(EventFailedError,))


def _connect_to_worker(app: Celery, settings: Settings, handlers: Sequence[Handler], runtime: list[WorkerRuntime]) -> None:
    """Start the runtime with the worker, under its name. Stop it before the worker waits for its tasks."""
    resources = open_resources(app, settings, handlers)
    app.curbside_broker = resources.broker
    app.curbside_tick = lambda worker: tick_of(resources, worker)
    app.steps["worker"].add(Timer)
    app.steps["consumer"].add(BrokerStep)
    retention_ms = milliseconds(settings.inbox_retention)
    app.curbside_relief = lambda: MemoryRelief(resources.store, [each.name for each in handlers], retention_ms)
    app.steps["worker"].add(ReliefTimer)
    stopping = threading.Event()
    ending: list[Shutdown] = []

    def on_setup(sender: str, **_: Any) -> None:
        tune_interpreter()
        its = WorkerRuntime(resources, sender, stopping)
        runtime[:] = [its]
        resources.local.attach(its.run, its.retry, its.interrupted, stopping, app.conf.worker_concurrency)
        ending[:] = [Shutdown(stopping, its.wait_until_idle, its.close)]

    def on_shutting_down(**_: Any) -> None:
        stopping.set()

    def on_shutdown(**_: Any) -> None:
        for end in ending:
            end.finish()
        for each in runtime:
            each.close()

    signals.celeryd_after_setup.connect(on_setup, weak=False)
    signals.worker_shutting_down.connect(on_shutting_down, weak=False)
    signals.worker_shutdown.connect(on_shutdown, weak=False)


def __getattr__(name: str) -> Any:
    """Create `workers.app.app` on first access, so that importing this module needs no settings."""
    if name == "app":
        try:
            app = globals()["app"] = create_app(load(os.environ))
        except (SettingError, HandlerError) as error:
            raise SystemExit(sanitize_lines(str(error))) from None
        return app
    raise AttributeError(name)
