"""Part `memory`: resident memory of an ingress and of a worker after work, and what Valkey keeps for each event."""

import contextlib
from pathlib import Path
from typing import Any

import redis

from schemas import keys
from tests.bench import backlog, committed, load, servers
from tests.bench.bodies import SIZES, envelopes, refunding, sized
from tests.bench.contenders import curbside, site
from tests.bench.postgresql import Postgresql
from tests.bench.processes import rss_mb
from tests.bench.report import Report

PART = "memory"
INGRESS, WORKER = "ingress after a load", "worker after a backlog"
_LIMIT_SECONDS = 120.0


def measure(report: Report, folder: Path, runs: int, quick: bool) -> None:
    """Everything once in each round."""
    events = 5_000 if quick else 50_000
    with Postgresql(folder / "postgresql") as postgresql:
        for run in range(runs):
            report.add(PART, INGRESS, run, {"rss_mb": _ingress(folder / f"ingress{run}", 1 if quick else 5)})
            report.add(PART, WORKER, run, {"rss_mb": _worker(folder / f"worker{run}", postgresql, events)})
            for number, size in enumerate(SIZES):
                few = events // 20 if size == "60 kB" else events
                _inbox(report, run, size, folder / f"inbox{run}{number}", few)
            _todo_and_seen(report, run, folder / f"seen{run}", events)


def _ingress(folder: Path, seconds: int) -> float:
    folder.mkdir()
    bodies = load.write_bodies(folder / "bodies", envelopes(2_000))
    with servers.curbside(folder) as server:
        load.post(server.url, bodies, server.authorization, seconds)
        return rss_mb(server.pid) or 0.0


def _worker(folder: Path, postgresql: Postgresql, events: int) -> float:
    """The larger of two."""
    posted = refunding(events)
    with site(curbside(), folder, postgresql) as its:
        its.preload(posted)
        with its.workers() as workers, postgresql.connect(its.database_url) as connection:
            committed.wait_for_first(connection, _LIMIT_SECONDS)
            committed.wait_for_all(connection, committed.expected(posted), _LIMIT_SECONDS)
            return max(rss_mb(pid) or 0.0 for pid in workers)


def _inbox(report: Report, run: int, size: str, folder: Path, events: int) -> None:
    posted = sized(size, events)
    with servers.valkey(folder) as valkey, contextlib.closing(redis.Redis.from_url(valkey.url)) as client:
        backlog.preload(valkey.url, posted[:1])
        before = _used(client)
        backlog.preload(valkey.url, posted[1:])
        bytes_each = (_used(client) - before) / (events - 1)
    body = sum(len(each.body) for each in posted) / events
    report.add(PART, f"inbox, {size}", run, {"bytes": bytes_each, "goal_bytes": 1.3 * body + 100, "body_bytes": body})


def _used(client: redis.Redis) -> int:
    """All of Valkey's data, without its clients' buffers."""
    memory: Any = client.info("memory")
    return int(memory["used_memory_dataset"])


def _todo_and_seen(report: Report, run: int, folder: Path, events: int) -> None:
    with servers.valkey(folder) as valkey, contextlib.closing(redis.Redis.from_url(valkey.url)) as client:
        backlog.preload(valkey.url, envelopes(events))
        backlog.work(keys.DISPATCH, 1, servers.curbside_environment(valkey.url, folder))
        routed = int(client.hget(keys.COUNTERS, keys.Counter.routed("timeline")) or 0)
        todo = _size(client, keys.todo("timeline"))
        seen = sum(_size(client, key.decode()) for key in client.scan_iter(f"{keys.SEEN_PREFIX}*", 1000))
    report.add(PART, "claim check of an event in todo", run, {"bytes": todo / routed})
    report.add(PART, "remembered identity", run, {"bytes": seen / routed})


def _size(client: redis.Redis, key: str) -> int:
    return int(client.memory_usage(key, samples=0) or 0)


def show(report: Report) -> None:
    """Print the table and the goals."""
    columns = (("rss_mb", "RSS MB"), ("bytes", "bytes/event"), ("goal_bytes", "goal"), ("body_bytes", "bytes/body"))
    report.table(PART, "Memory; median (least…most)", columns)
    inboxes = [f"inbox, {size}" for size in SIZES]
    report.goals_below(
        [
            ("MB of an ingress", report.median(PART, INGRESS, "rss_mb"), 70),
            ("MB of a worker", report.median(PART, WORKER, "rss_mb"), 90),
            *(
                (f"bytes in the {each}", report.median(PART, each, "bytes"), report.median(PART, each, "goal_bytes"))
                for each in inboxes
            ),
        ]
    )
