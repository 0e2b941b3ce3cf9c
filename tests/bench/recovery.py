"""Part `backlog`: how long two worker processes take from a million waiting events to committed rows. Takes minutes."""

from pathlib import Path

from tests.bench import path
from tests.bench.bodies import refunding
from tests.bench.contenders import curbside
from tests.bench.postgresql import Postgresql
from tests.bench.report import Report

PART = "backlog"
EVENTS, QUICK_EVENTS = 1_000_000, 30_000
_NAME = "a backlog worked off"
_LIMIT_SECONDS = 1800.0


def measure(report: Report, folder: Path, runs: int, quick: bool) -> None:
    """Once in each round."""
    posted = refunding(QUICK_EVENTS if quick else EVENTS)
    with Postgresql(folder / "postgresql") as postgresql:
        for run in range(runs):
            numbers = path.emptied(curbside(), folder / f"{PART}{run}", postgresql, posted, _LIMIT_SECONDS)
            report.add(PART, _NAME, run, numbers | {"seconds": numbers["events"] / numbers["per_second"]})


def show(report: Report) -> None:
    """Print the table."""
    title = "Recovery: events that waited, to committed timeline and refunds on PostgreSQL; median (least…most)"
    report.table(PART, title, (("seconds", "seconds"), *path.COLUMNS))
