"""Part `growth`: whether an event costs more where there is more of everything: backlog, orders, ledger, worker processes.

Cost is CPU of the workers, Valkey and PostgreSQL together. Two ingress processes are in part `sizes`. `growth-large` takes as
many as the goals name, which takes long and needs several gigabytes.
"""

from collections.abc import Callable
from pathlib import Path

import psycopg

from schemas import keys
from tests.bench import backlog, path, servers
from tests.bench.bodies import of_orders, refunding
from tests.bench.contenders import curbside, site
from tests.bench.postgresql import Postgresql
from tests.bench.processes import tree_cpu_seconds
from tests.bench.report import Numbers, Report

PART, LARGE = "growth", "growth-large"
_EVENTS, _QUICK_EVENTS = 20_000, 4_000
_OPEN_ORDERS = (1, 10_000, 100_000)
"""An event writes one line of history, and its order's row; but a batch about one order writes that row once."""
WORKERS = (1, 2, 4)


def measure(report: Report, folder: Path, runs: int, quick: bool, part: str = PART) -> None:
    """Run each case once a round; every second round starts with the large ones."""
    events = _QUICK_EVENTS if quick else _EVENTS
    least = 4_000 if quick else 10_000
    backlogs = (max(least, events), 40_000 if quick else 5_000_000 if part == LARGE else 1_000_000)
    ledgers = (least, 40_000 if quick else 10_000_000 if part == LARGE else 1_000_000)
    with Postgresql(folder / "postgresql") as postgresql:
        cases: list[tuple[str, Callable[[Path], Numbers]]] = [
            *((f"dispatch, inbox of {size:,}", lambda at, size=size: _dispatcher(at, events, size)) for size in backlogs),
            *((f"timeline, {n:,} open orders", lambda at, n=n: _timeline(at, postgresql, events, n, n)) for n in _OPEN_ORDERS),
            *(
                (f"timeline, ledger of {n:,}", lambda at, n=n: _timeline(at, postgresql, events, 1_000, 1_000, n))
                for n in ledgers
            ),
            *((f"whole path, {n} worker processes", lambda at, n=n: _path(at, postgresql, events, n)) for n in WORKERS),
        ]
        for run in range(runs):
            for number, (name, case) in enumerate(cases if run % 2 == 0 else cases[::-1]):
                report.add(part, name, run, case(folder / f"{run}-{number}"))


def _dispatcher(folder: Path, events: int, waiting: int) -> Numbers:
    """The first of those that wait, all of them new."""
    posted = refunding(events)
    with servers.valkey(folder) as valkey:
        for start in range(0, waiting, events):
            backlog.preload(valkey.url, posted[: waiting - start])
        before = tree_cpu_seconds(valkey.pid)
        numbers = backlog.work(keys.DISPATCH, 1, servers.curbside_environment(valkey.url, folder), events)
        return _whole(numbers, tree_cpu_seconds(valkey.pid) - before)


def _timeline(folder: Path, postgresql: Postgresql, events: int, orders: int, rows: int, history: int = 0) -> Numbers:
    """Events of so many orders, which the ledger has already, and so many lines of other history."""
    posted = of_orders(events, orders)
    with site(curbside(), folder, postgresql) as its:
        backlog.preload(its.valkey.url, posted)
        backlog.work(keys.DISPATCH, 1, its.environment)
        with postgresql.connect(its.database_url) as connection:  # to the end: when it ends is when its own CPU is added up
            connection.execute(_ORDERS, {"orders": rows})
            connection.execute(_HISTORY, {"history": history})
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
            rows_before = _rows_written(connection)
            before = tree_cpu_seconds(its.valkey.pid, postgresql.pid)
            numbers = backlog.work("timeline", 1, its.environment)
            after = tree_cpu_seconds(its.valkey.pid, postgresql.pid)
            rows_written = _rows_written(connection) - rows_before
        backlog.check_applied(its.valkey.url, "timeline")
    return _whole(numbers, after - before) | {"rows": rows_written / numbers["events"]}


def _rows_written(connection: psycopg.Connection) -> int:
    """Rows inserted or updated since the database was created. A connection reports them when it ends or is forced to."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    row = connection.execute("SELECT sum(n_tup_ins + n_tup_upd)::bigint FROM pg_stat_user_tables").fetchone()
    assert row is not None
    return int(row[0])


def _whole(numbers: Numbers, servers_seconds: float) -> Numbers:
    servers_us = servers_seconds / numbers["events"] * 1e6
    return numbers | {"workers_us": numbers["cpu_us"], "servers_us": servers_us, "cpu_us": numbers["cpu_us"] + servers_us}


def _path(folder: Path, postgresql: Postgresql, events: int, workers: int) -> Numbers:
    numbers = path.emptied(curbside(workers), folder, postgresql, refunding(2 * events))
    return numbers | {"servers_us": numbers["valkey_us"] + numbers["postgresql_us"]}


_ORDERS = """
INSERT INTO orders (provider, order_id, status, status_at, status_news, first_event_at, last_event_at)
SELECT 'instacart', lpad(to_hex(number), 32, '0'), 'picking', '2026-03-01Z', '2026-03-01T00:00:00.000000+00:00|4|x', '2026-03-01Z', '2026-03-01Z'
FROM generate_series(0, %(orders)s - 1) AS number
"""
_HISTORY = """
INSERT INTO order_events (provider, order_id, identity, event_id, occurred_at, received_at, name, kind)
SELECT 'instacart', lpad(to_hex(number / 8), 32, 'f'), md5(number::text), number || '-0', '2026-03-01Z', '2026-03-01Z', 'fulfillment.picking', 'picking'
FROM generate_series(0, %(history)s - 1) AS number
"""


def show(report: Report, part: str = PART) -> None:
    """Print the table and what the largest costs over the smallest."""
    columns = (
        ("cpu_us", "CPU µs/event"),
        ("workers_us", "workers"),
        ("servers_us", "Valkey, PostgreSQL"),
        ("per_second", "events/s"),
        ("rows", "rows/event"),
        ("events", "events"),
    )
    report.table(part, "The cost of an event as inbox, ledger and workers grow; median (least…most)", columns)
    names = report.names(part)
    for of_these in ("dispatch, inbox of", "timeline, ledger of", "open orders", "whole path,"):
        least, *_, most = (name for name in names if of_these in name)
        report.goals_below(((f"cost: {most} over {least}", report.ratio(part, most, least, "cpu_us"), 1.1),))
    _, some, many = (name for name in names if "open orders" in name)
    report.goals_below(((f"cost: {many} over {some}", report.ratio(part, many, some, "cpu_us"), 1.1),))
