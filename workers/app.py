"""The Celery application: its tasks, one queue for each lane, and the worker's life. `python -m workers` runs it.

`workers.app.app` is made from the environment when somebody asks for it; a wrong setting ends the program with one line that says
so. Nothing is connected until a worker starts. The pool is threads: a process has one crew, and one lane of each kind.
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
from schemas.harmless import harmless_lines
from schemas.logs import make_logs_harmless
from schemas.settings import SettingError, Settings, load
from schemas.tasks import LANE_DELIVER, LANE_HOUSEKEEP, LANE_RETRY, broker_options, queue_of, retry_task_of, task_of
from workers.bells import Bells
from workers.blame import URGENT, EventFailed
from workers.crew import Crew
from workers.drift import Drift
from workers.failures import MAX_IN_FLIGHT, Failures
from workers.handler import Handler, HandlerError, registered
from workers.retry import Retries
from workers.store import Store, connect
from workers.timer import Tick, Timer

SPARE_SLOTS = MAX_IN_FLIGHT + 4
"""Threads beside one for each lane: for retries, and for doorbells that find their lane at work."""


SWITCH_SECONDS = 0.0005
"""How long a lane may keep the interpreter while another wants it: an alert waits so long at each of its steps beside a busy lane."""


class Lanes(StrEnum):
    """Which lanes a worker process works."""

    ALL = "all"
    URGENT = "urgent"
    """The inbox, handlers whose events are tried again within seconds, and alerts: short turns, with nothing long in their way."""
    BULK = "bulk"
    """The others."""


def queues_of(handlers: Sequence[Handler], lanes: Lanes) -> list[str]:
    """The queues that a worker of these lanes listens to."""
    urgent = [keys.DRAIN, *(each.name for each in handlers if each.retry == URGENT), LANE_DELIVER]
    bulk = [*(each.name for each in handlers if each.retry != URGENT), LANE_HOUSEKEEP, LANE_RETRY]
    chosen = {Lanes.ALL: urgent + bulk, Lanes.URGENT: urgent, Lanes.BULK: bulk}[lanes]
    return [queue_of(lane) for lane in chosen]


def tune_interpreter() -> None:
    """Let lanes take turns quickly, and leave what is imported out of the search for garbage: it stopped all lanes for 60 ms."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()


def create_app(settings: Settings) -> Celery:
    """Build the application for these settings. From now on every log line of this process is harmless."""
    make_logs_harmless()
    handlers = registered(settings.handler_modules)
    lanes = [keys.DRAIN, *(each.name for each in handlers), LANE_DELIVER, LANE_HOUSEKEEP]
    app = Celery("curbside", set_as_current=False)
    app.conf.update(
        broker_options(settings.celery_broker_url),
        task_queues={queue: {} for queue in queues_of(handlers, Lanes.ALL)},
        task_default_queue=queue_of(keys.DRAIN),
        worker_pool="threads",
        worker_concurrency=len(lanes) + SPARE_SLOTS,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        worker_hijack_root_logger=True,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        task_acks_late=False,
        event_queue_expires=60.0,
        worker_log_color=False,
        worker_log_format="%(asctime)s %(levelname)s %(name)s %(message)s",
        worker_task_log_format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    crew: list[Crew] = []
    for lane in lanes:
        _add_doorbell(app, lane, crew)
    for name in (keys.DRAIN, *(each.name for each in handlers)):
        _add_retry(app, name, crew)
    _tie_to_worker(app, settings, handlers, crew)
    return app


def _add_doorbell(app: Celery, lane: str, crew: list[Crew]) -> None:
    def doorbell() -> None:
        crew[0].run(lane)

    app.task(doorbell, name=task_of(lane))


def _add_retry(app: Celery, handler: str, crew: list[Crew]) -> None:
    def retry(event_id: str) -> None:
        crew[0].retry(handler, event_id)

    app.task(retry, name=retry_task_of(handler), throws=(EventFailed,))


def _tie_to_worker(app: Celery, settings: Settings, handlers: Sequence[Handler], crew: list[Crew]) -> None:
    """Start the crew with the worker, under its name, and have it stop before the worker waits for its tasks."""
    store = Store(connect(settings.redis_url))
    bells, failures = Bells(app, store), Failures(store.client)
    retries, drift = Retries(app, failures), Drift(store.client)
    app.curbside_tick = lambda: Tick(store, bells, retries, drift, [each.name for each in handlers])
    app.steps["worker"].add(Timer)
    stopping = threading.Event()

    def on_setup(sender: str, **_: Any) -> None:
        tune_interpreter()
        crew[:] = [
            Crew(
                settings,
                handlers,
                store=store,
                bells=bells,
                failures=failures,
                retries=retries,
                drift=drift,
                consumer=sender,
                stopping=stopping,
            )
        ]

    def on_shutting_down(**_: Any) -> None:
        stopping.set()

    def on_shutdown(**_: Any) -> None:
        for each in crew:
            each.close()

    signals.celeryd_after_setup.connect(on_setup, weak=False)
    signals.worker_shutting_down.connect(on_shutting_down, weak=False)
    signals.worker_shutdown.connect(on_shutdown, weak=False)


def __getattr__(name: str) -> Any:
    """`workers.app.app` is made when Celery asks for it, so that importing this module asks for no settings."""
    if name == "app":
        try:
            app = globals()["app"] = create_app(load(os.environ))
        except (SettingError, HandlerError) as error:
            raise SystemExit(harmless_lines(str(error))) from None
        return app
    raise AttributeError(name)
