"""Part `path`: from a backlog to committed effects (timeline and refunds, PostgreSQL), beside rivals that write the same rows.

The clock starts when the first rows are seen, so that no contender pays for its start, and stops when every row is there.
"""

from pathlib import Path

from tests.bench import committed
from tests.bench.bodies import Posted, refunding
from tests.bench.contenders import ARQ, BULLMQ, CELERY, CURBSIDE, TASKIQ, Contender, Site, contenders, site
from tests.bench.postgresql import Postgresql
from tests.bench.processes import tree_cpu_seconds
from tests.bench.report import Numbers, Report

PART = "path"
_EVENTS = {CURBSIDE: 100_000, CELERY: 6_000, ARQ: 15_000, TASKIQ: 30_000, BULLMQ: 40_000}
"""So many that each works for some seconds."""
_QUICK_SHARE = 10
_LIMIT_SECONDS = 120.0
COLUMNS = (
    ("per_second", "events/s"),
    ("cpu_us", "CPU µs/event"),
    ("workers_us", "workers"),
    ("valkey_us", "Valkey"),
    ("postgresql_us", "PostgreSQL"),
    ("events", "events"),
)


def measure(report: Report, folder: Path, runs: int, quick: bool) -> None:
    """Each contender once in each round; each round begins with another one."""
    found = contenders()
    with Postgresql(folder / "postgresql") as postgresql:
        for run in range(runs):
            turn = run % len(found)
            for contender in found[turn:] + found[:turn]:
                posted = refunding(_EVENTS[contender.name] // (_QUICK_SHARE if quick else 1))
                at = folder / f"{PART}{run}{found.index(contender)}"
                report.add(PART, contender.name, run, emptied(contender, at, postgresql, posted))


def emptied(
    contender: Contender, folder: Path, postgresql: Postgresql, posted: list[Posted], limit_seconds: float = _LIMIT_SECONDS
) -> Numbers:
    """Work off a backlog, and check the rows."""
    wanted = committed.expected(posted)
    with site(contender, folder, postgresql) as its:
        its.preload(posted)
        with its.workers() as workers, postgresql.connect(its.database_url) as connection:
            first = committed.wait_for_first(connection, limit_seconds)
            before = _cpu(its, workers)
            last = committed.wait_for_all(connection, wanted, limit_seconds)
            after = _cpu(its, workers)
    events = len(posted) * (last.lines - first.lines) / last.lines  # duplicates too, which leave no line
    spent = {f"{name}_us": (after[name] - before[name]) / events * 1e6 for name in after}
    return {
        "per_second": events / (last.at - first.at),
        "cpu_us": sum(spent.values()),
        **spent,
        "events": float(len(posted)),
    }


def _cpu(its: Site, workers: list[int]) -> Numbers:
    return {
        "workers": tree_cpu_seconds(*workers),
        "valkey": tree_cpu_seconds(its.valkey.pid),
        "postgresql": tree_cpu_seconds(its.postgresql.pid),
    }


def show(report: Report) -> None:
    """Print the table and the goals."""
    title = "From a backlog to committed rows: timeline and refunds, PostgreSQL, two worker processes; median (least…most)"
    report.table(PART, title, COLUMNS, (CELERY, ARQ, TASKIQ, BULLMQ), "per_second")
    ratios = ((CELERY, 20), (ARQ, 4), (TASKIQ, 4), (BULLMQ, 2))
    report.goals(
        [
            ("events/s of the whole path", report.median(PART, CURBSIDE, "per_second"), 12_000),
            *((f"times {name}", report.ratio(PART, CURBSIDE, name, "per_second"), goal) for name, goal in ratios),
        ]
    )
