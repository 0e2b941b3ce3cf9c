"""Part `ack`: how many requests are acknowledged, and how fast, beside an empty endpoint and FastAPI with `task.delay()`."""

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path

from tests.bench import load, servers
from tests.bench.bodies import envelopes
from tests.bench.processes import rss_mb, tree_cpu_seconds
from tests.bench.report import Numbers, Report

PART = "ack"
STARLETTE = "(a) empty Starlette endpoint"
ASGI = "(b) empty ASGI function"
CELERY = "(c) FastAPI + task.delay()"
CELERY_THREADS = "(c') the same in threads"
CURBSIDE = "(d) Curbside"

CONTENDERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[servers.Server]]] = {
    STARLETTE: servers.empty_starlette,
    ASGI: servers.empty_asgi,
    CELERY: servers.fastapi_celery,
    CELERY_THREADS: functools.partial(servers.fastapi_celery, app="threaded"),
    CURBSIDE: servers.curbside,
}
COLUMNS = (
    ("per_second", "requests/s"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("cpu_us", "CPU µs/request"),
    ("all_us", "with Valkey"),
    ("rss_mb", "RSS MB"),
)


def measure(report: Report, folder: Path, runs: int, quick: bool) -> None:
    """Run every contender once in each round; each round begins with another one."""
    bodies = load.write_bodies(folder / "bodies", envelopes(2_000 if quick else 20_000))
    names = list(CONTENDERS)
    for run in range(runs):
        turn = run % len(names)
        for name in names[turn:] + names[:turn]:
            at = folder / f"{PART}{run}{names.index(name)}"
            with CONTENDERS[name](at) as server:
                report.add(PART, name, run, under_load(server, bodies, 1 if quick else 4))


def under_load(server: servers.Server, bodies: Path, seconds: int) -> Numbers:
    """Rate, latency and CPU of one server under a closed loop."""
    load.post(server.url, bodies, server.authorization, 1)  # connections, caches, imports
    before, before_all = tree_cpu_seconds(server.pid), tree_cpu_seconds(server.pid, *server.beside)
    result = load.post(server.url, bodies, server.authorization, seconds)
    after, after_all, rss = tree_cpu_seconds(server.pid), tree_cpu_seconds(server.pid, *server.beside), rss_mb(server.pid)
    numbers = {"per_second": result.requests / result.seconds, "p50_ms": result.p50_ms, "p99_ms": result.p99_ms}
    if after:
        numbers["cpu_us"] = (after - before) / result.requests * 1e6
        numbers["all_us"] = (after_all - before_all) / result.requests * 1e6
    return numbers | ({"rss_mb": rss} if rss else {})


def show(report: Report) -> None:
    """Print the table and the goals."""
    title = f"Acknowledged: one uvicorn process, {load.CONNECTIONS} connections, 700-byte bodies; median (least…most)"
    report.table(PART, title, COLUMNS, (STARLETTE, CELERY), "per_second")
    to = functools.partial(report.ratio, PART, CURBSIDE)
    report.goals(
        (
            ("requests/s over (a), first goal", to(STARLETTE, "per_second"), 0.8),
            ("requests/s over (a)", to(STARLETTE, "per_second"), 1.0),
            ("requests/s over (b)", to(ASGI, "per_second"), 0.5),
            ("requests/s over (c), first goal", to(CELERY, "per_second"), 6.0),
            ("requests/s over (c)", to(CELERY, "per_second"), 10.0),
            ("p99 of (a) over ours", report.ratio(PART, STARLETTE, CURBSIDE, "p99_ms"), 1.0),
            ("p99 of (c) over ours", report.ratio(PART, CELERY, CURBSIDE, "p99_ms"), 1.0),
        )
    )
