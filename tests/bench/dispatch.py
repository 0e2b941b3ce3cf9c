"""Part `dispatch`: how fast worker processes empty a preloaded inbox: decode, deduplicate, route, acknowledge."""

from pathlib import Path

from schemas import keys
from tests.bench import backlog, servers
from tests.bench.bodies import mixed
from tests.bench.report import Report

PART = "dispatch"
EVENTS, QUICK_EVENTS = 100_000, 10_000
PROCESSES = (1, 2)


def measure(report: Report, folder: Path, runs: int, quick: bool) -> None:
    """Empty a new backlog in each round, with one process and with two."""
    posted = mixed(QUICK_EVENTS if quick else EVENTS)
    for run in range(runs):
        for processes in PROCESSES if run % 2 == 0 else PROCESSES[::-1]:
            at = folder / f"{PART}{run}{processes}"
            with servers.valkey(at) as valkey:
                backlog.preload(valkey.url, posted)
                numbers = backlog.work(keys.DISPATCH, processes, servers.curbside_environment(valkey.url, at))
                backlog.check_dispatched(valkey.url, len(posted))
            report.add(PART, _name(processes), run, numbers)


def _name(processes: int) -> str:
    return f"dispatch, {processes} process{'es' if processes > 1 else ''}"


def show(report: Report) -> None:
    """Print the table and the goals."""
    title = "Dispatched from a preloaded inbox: mixed dialects, 5 % duplicates; median (least…most)"
    report.table(PART, title, (("per_second", "events/s"), ("cpu_us", "CPU µs/event"), ("events", "events")))
    one, two = (report.median(PART, _name(processes), "per_second") for processes in PROCESSES)
    report.goals((("events/s of one process, first goal", one, 15_000), ("events/s of two", two, 40_000)))
