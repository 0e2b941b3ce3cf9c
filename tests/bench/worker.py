"""One worker process for a single queue: `python -m tests.bench.worker QUEUE CONSUMER MOST`; settings by environment.

It prints `ready`, waits for a line, works until its queue is empty, and prints when its first batch began and its last one was
committed (system-wide monotonic clock), how many events it had, and its CPU time. The workers' own code runs, with claims,
waiter flags and notifications.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import cast

import msgspec
from celery import Celery

from schemas import keys
from schemas.parsing.durations import milliseconds
from schemas.settings import load
from schemas.tasks import broker_options
from workers.alerts.channels import Channels
from workers.alerts.outbox_relay import OutboxRelay
from workers.app import tune_interpreter
from workers.broker import Broker
from workers.consumers.batch_size import DISPATCH_BATCH, MAX_CLAIM_CHECKS, BatchSize
from workers.consumers.notifier import Notifier
from workers.consumers.stream_consumer import GroupMember, StreamConsumer
from workers.contract_drift import DriftMonitor
from workers.dispatcher import Dispatcher, Router
from workers.event_decoder import EventDecoder
from workers.handler import registered
from workers.handler_runner import HandlerRunner
from workers.ledger.ledger import Ledger
from workers.local_work import LocalWork
from workers.valkey.connection import connect
from workers.valkey.entries import Entry, events_in
from workers.valkey.store import Store


class Worked(msgspec.Struct):
    """What one process did."""

    events: int = 0
    began: float = 0.0
    ended: float = 0.0
    cpu_seconds: float = 0.0


def main(queue: str, consumer: str, most: int) -> Worked:
    """Process the queue until it is empty, or until `most` events are done if `most` is not 0."""
    settings = load(os.environ)
    store = Store(connect(settings.redis_url))
    celery = Celery("curbside", set_as_current=False)
    celery.conf.update(broker_options(settings.celery_broker_url))
    notifier, handlers, ledger = Notifier(Broker(celery), store, LocalWork()), registered(), Ledger(settings)
    seen_ms = milliseconds(settings.dedupe_window)
    dispatcher = Dispatcher(
        store, notifier, Router(handlers), decoder=EventDecoder.of(settings), seen_ms=seen_ms, drift=DriftMonitor(store.client)
    )
    stream, process = keys.INBOX, cast(Callable[[Sequence[Entry]], None], dispatcher.process)
    if queue != keys.DISPATCH:
        relay = OutboxRelay(ledger, store, notifier, Channels(settings))
        handler = next(each for each in handlers if each.name == queue)
        stream, process = keys.todo(queue), HandlerRunner(handler, store, ledger, relay, EventDecoder.of(settings)).process
        with ledger.begin():  # connected and migrated before the clock starts
            pass
    tune_interpreter()
    worked, stopping = Worked(), threading.Event()
    print("ready", flush=True)
    sys.stdin.readline()
    cpu = time.process_time()
    timed = _timed(process, worked, cpu, most or sys.maxsize, stopping)
    of_handler = BatchSize(entries=MAX_CLAIM_CHECKS, events_in=events_in)
    batch_size = BatchSize(DISPATCH_BATCH) if queue == keys.DISPATCH else of_handler
    works = StreamConsumer(queue, stream, timed, GroupMember(consumer, store, notifier, stopping), batch_size)
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
