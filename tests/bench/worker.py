"""One worker process that works a single lane, as `python -m tests.bench.worker LANE CONSUMER MOST`; settings by environment.

It says `ready`, waits for a line, works until its lane is empty, and prints when its first batch began and its last one was committed
(system-wide monotonic clock), how many events it had, and its CPU time. The lane's own code runs: claims, signs, doorbells and all.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
from celery import Celery

from schemas import keys
from schemas.durations import milliseconds
from schemas.settings import load
from schemas.tasks import broker_options
from workers.app import tune_interpreter
from workers.bells import Bells
from workers.channel import Channels
from workers.deliver import Deliver
from workers.drain import Drain, Router
from workers.drift import Drift
from workers.entries import Entry, events_in
from workers.handle import Handle
from workers.handler import registered
from workers.lane import CHECKS, DRAIN_BATCH, Lane
from workers.ledger.ledger import Ledger
from workers.store import Store, connect


class Worked(msgspec.Struct):
    """What one process did."""

    events: int = 0
    began: float = 0.0
    ended: float = 0.0
    cpu_seconds: float = 0.0


def main(lane: str, consumer: str, most: int) -> Worked:
    """Work the lane; no longer than until `most` events are done, if that is not 0."""
    settings = load(os.environ)
    store = Store(connect(settings.redis_url))
    celery = Celery("curbside", set_as_current=False)
    celery.conf.update(broker_options(settings.celery_broker_url))
    bells, handlers, ledger = Bells(celery, store), registered(), Ledger(settings)
    seen_ms = milliseconds(settings.dedupe_window)
    drain = Drain(store, bells, Router(handlers), zone=settings.store_timezone, seen_ms=seen_ms, drift=Drift(store.client))
    stream, process = keys.INBOX, cast(Callable[[Sequence[Entry]], None], drain.process)
    if lane != keys.DRAIN:
        deliver = Deliver(ledger, store, bells, Channels(settings))
        handler = next(each for each in handlers if each.name == lane)
        stream, process = keys.todo(lane), Handle(handler, store, ledger, deliver, settings.store_timezone).process
        with ledger.begin():  # connected and migrated before the clock starts
            pass
    tune_interpreter()
    worked, stopping = Worked(), threading.Event()
    print("ready", flush=True)
    sys.stdin.readline()
    cpu = time.process_time()
    timed = _timed(process, worked, cpu, most or sys.maxsize, stopping)
    options: dict[str, Any] = {"events_in": events_in, "most_at_once": CHECKS} if lane != keys.DRAIN else {"batch": DRAIN_BATCH}
    works = Lane(lane, stream, timed, store=store, bells=bells, consumer=consumer, stopping=stopping, **options)
    before = -1
    while worked.events > before:  # a run ends when its time is up, empty or not
        before = worked.events
        works.run()
    ledger.close()
    return worked


def _timed(
    process: Callable[[Sequence[Entry]], None], worked: Worked, cpu: float, most: int, stopping: threading.Event
) -> Callable[[Sequence[Entry]], None]:
    def timed(entries: Sequence[Entry]) -> None:
        worked.began = worked.began or time.monotonic()
        process(entries)
        worked.events += sum(map(events_in, entries))
        worked.ended, worked.cpu_seconds = time.monotonic(), time.process_time() - cpu
        if worked.events >= most:
            stopping.set()

    return timed


if __name__ == "__main__":
    print(msgspec.json.encode(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))).decode(), flush=True)
