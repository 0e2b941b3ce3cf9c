"""Part `handlers`: how fast worker processes apply a handler's preloaded stream to SQLite and to PostgreSQL."""

from pathlib import Path

from schemas import keys
from tests.bench import backlog, servers
from tests.bench.bodies import mixed
from tests.bench.postgresql import Postgresql
from tests.bench.report import Report

PART = "handlers"
HANDLER = "timeline"
EVENTS, QUICK_EVENTS = 40_000, 5_000
CASES = (("SQLite", 1), ("PostgreSQL", 1), ("PostgreSQL", 2))


def measure(report: Report, folder: Path, runs: int, quick: bool) -> None:
    """In each round, apply a fresh backlog to each fresh database."""
    posted = mixed(QUICK_EVENTS if quick else EVENTS)
    with Postgresql(folder / "postgresql") as postgresql:
        for run in range(runs):
            turn = run % len(CASES)
            for database, processes in CASES[turn:] + CASES[:turn]:
                at = folder / f"{PART}{run}{database}{processes}"
                with servers.valkey(at) as valkey, postgresql.ledger(database, at) as url:
                    environment = servers.curbside_environment(valkey.url, at) | {"DATABASE_URL": url}
                    backlog.preload(valkey.url, posted)
                    backlog.work(keys.DISPATCH, 1, environment)
                    numbers = backlog.work(HANDLER, processes, environment)
                    backlog.check_applied(valkey.url, HANDLER)
                report.add(PART, _name(database, processes), run, numbers)


def _name(database: str, processes: int) -> str:
    return f"{HANDLER} on {database}, {processes} process{'es' if processes > 1 else ''}"


def show(report: Report) -> None:
    """Print the table and the goals."""
    title = "Applied from a preloaded stream, every commit fsynced; median (least…most)"
    report.table(PART, title, (("per_second", "events/s"), ("cpu_us", "CPU µs/event"), ("events", "events")))
    reached = report.median(PART, _name("PostgreSQL", 2), "per_second")
    report.goals(((f"events/s of {HANDLER} on PostgreSQL, two processes", reached, 25_000),))
