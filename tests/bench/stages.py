"""Part `stages`: where the CPU of an event goes, in this process: decoding, routing, packing, SQL. No rivals, no load.

CPU time of this thread (`time.thread_time`), so that a busy machine disturbs little; what Valkey and PostgreSQL do meanwhile is
theirs.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from celery import Celery

from schemas import keys
from schemas.decoding import decode
from schemas.parsing.durations import milliseconds
from schemas.settings import load
from schemas.tasks import broker_options
from tests.bench import backlog, servers
from tests.bench.bodies import Posted, afosto, envelopes, flat
from tests.bench.postgresql import Postgresql
from tests.bench.report import Report
from workers.alerts.channels import Channels
from workers.alerts.outbox_relay import OutboxRelay
from workers.broker import Broker
from workers.consumers.batch_size import DISPATCH_BATCH, MAX_CLAIM_CHECKS
from workers.consumers.notifier import Notifier
from workers.contract_drift import DriftMonitor
from workers.dispatcher import Dispatcher, Router
from workers.event_decoder import EventDecoder
from workers.handler import registered
from workers.handler_runner import HandlerRunner
from workers.ledger.ledger import Ledger
from workers.local_work import LocalWork
from workers.valkey.connection import connect
from workers.valkey.entries import events_in
from workers.valkey.store import Store

PART = "stages"
DIALECTS: dict[str, Callable[[int], list[Posted]]] = {"envelope": envelopes, "flat": flat, "Afosto": afosto}
_GOAL_US = 12
_EVENT_ID = "1772438400000-0"


def measure(report: Report, folder: Path, runs: int, quick: bool) -> None:
    """Each stage once in each round."""
    count = 2_000 if quick else 20_000
    with Postgresql(folder / "postgresql") as postgresql:
        for run in range(runs):
            for dialect, make in DIALECTS.items():
                _decoding(report, run, dialect, make(count))
            for database in ("SQLite", "PostgreSQL"):
                at = folder / f"{PART}{run}{database}"
                with servers.valkey(at) as valkey, postgresql.ledger(database, at) as url:
                    backlog.preload(valkey.url, envelopes(count))
                    _working(report, run, database, servers.curbside_environment(valkey.url, at) | {"DATABASE_URL": url})


def _decoding(report: Report, run: int, dialect: str, posted: Sequence[Posted]) -> None:
    """Decode, identity and routing of one event after another: the goal of the contract's issue."""
    router, zone = Router(registered()), load(servers.curbside_environment("redis://x", Path())).store_timezone
    begin = time.thread_time()
    events = [decode(provider, body, _EVENT_ID, zone) for provider, body in posted]
    decoded = time.thread_time()
    for event in events:
        router.routed(event)
    routed = time.thread_time()
    size = sum(len(each.body) for each in posted) / len(posted)
    for stage, seconds in (("decode, identity", decoded - begin), ("routing", routed - decoded), (_WHOLE, routed - begin)):
        report.add(PART, f"{dialect}: {stage}", run, {"cpu_us": seconds / len(posted) * 1e6, "body_bytes": size})


_WHOLE = "decode, identity and routing"


class _Clocked:
    """Stands before an object and adds up the CPU of each of its methods that is called."""

    def __init__(self, inner: Any, spent: dict[str, float], prefix: str) -> None:
        self._inner, self._spent, self._prefix = inner, spent, prefix

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def clocked(*args: Any, **options: Any) -> Any:
            begin = time.thread_time()
            try:
                return method(*args, **options)
            finally:
                self._spent[f"{self._prefix}.{name}"] += time.thread_time() - begin

        return clocked


def _working(report: Report, run: int, database: str, environment: dict[str, str]) -> None:
    """Empty the inbox, then two handlers' streams, in batches, as the workers do."""
    settings = load(environment)
    store, spent = Store(connect(settings.redis_url)), defaultdict[str, float](float)
    clocked: Any = _Clocked(store, spent, "Valkey")
    celery = Celery("curbside", set_as_current=False)
    celery.conf.update(broker_options(settings.celery_broker_url))
    handlers, ledger, notifier = registered(), Ledger(settings), Notifier(Broker(celery), store, LocalWork())
    ledger.migrate()
    relay = OutboxRelay(ledger, store, notifier, Channels(settings))
    drift: Any = _Clocked(DriftMonitor(store.client), spent, "drift")
    seen_ms = milliseconds(settings.dedupe_window)
    dispatcher = Dispatcher(
        clocked, notifier, Router(handlers), decoder=EventDecoder.of(settings), seen_ms=seen_ms, drift=drift
    )
    _emptied(clocked, keys.INBOX, dispatcher.process, spent).report(report, run, "dispatch")
    for handler in handlers:
        if handler.name in {"timeline", "refunds"}:
            clocked_ledger: Any = _Clocked(ledger, spent, "SQL")
            handle = HandlerRunner(handler, clocked, clocked_ledger, relay, EventDecoder.of(settings))
            emptied = _emptied(clocked, keys.todo(handler.name), handle.process, spent)
            emptied.report(report, run, f"{handler.name} on {database}")
    ledger.close()


class _Emptied(NamedTuple):
    """What it took to empty a stream, in seconds."""

    events: int
    stages: dict[str, float]

    def report(self, report: Report, run: int, queue: str) -> None:
        """One row a stage, and one for all."""
        for stage, seconds in {**self.stages, "all": sum(self.stages.values())}.items():
            report.add(PART, f"{queue}: {stage}", run, {"cpu_us": seconds / self.events * 1e6, "events": self.events})


def _emptied(store: Any, stream: str, process: Callable[[Sequence[Any]], None], spent: dict[str, float]) -> _Emptied:
    """Empty a stream in batches as large as a busy queue's. `spent` collects the seconds of each stage."""
    spent.clear()
    count = DISPATCH_BATCH if stream == keys.INBOX else MAX_CLAIM_CHECKS
    events, begin = 0, time.thread_time()
    while entries := store.read(stream, "bench", count):
        process(entries)
        events += sum(map(events_in, entries))
    whole = time.thread_time() - begin
    return _Emptied(events, {**spent, "the rest": whole - sum(spent.values())})


def show(report: Report) -> None:
    """Print the cost table and the goal."""
    title = f"CPU of this process per event by stage, in batches of {DISPATCH_BATCH}; median (least…most)"
    report.table(PART, title, (("cpu_us", "CPU µs/event"), ("events", "events"), ("body_bytes", "bytes/body")))
    report.goals_below(
        (("µs to decode, identify and route an envelope", report.median(PART, f"envelope: {_WHOLE}", "cpu_us"), _GOAL_US),)
    )
