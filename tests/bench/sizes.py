"""Part `sizes`: what Curbside acknowledges by size of body, and with two ingress processes in place of one."""

from pathlib import Path

from tests.bench import ack, load, servers
from tests.bench.bodies import SIZES, sized
from tests.bench.report import Report

PART = "sizes"
TWO = "700 B, two ingress processes"
_COLUMNS = (*ack.COLUMNS, ("body_bytes", "bytes/body"))


def measure(report: Report, folder: Path, runs: int, quick: bool) -> None:
    """Every size once in each round."""
    seconds = 1 if quick else 4
    posted = {name: sized(name, 200 if name == "60 kB" else 2_000) for name in SIZES} | {TWO: sized("700 B", 2_000)}
    bodies = {name: load.write_bodies(folder / f"bodies{number}", each) for number, (name, each) in enumerate(posted.items())}
    for run in range(runs):
        for number, (name, path) in enumerate(bodies.items()):
            with servers.curbside(folder / f"{PART}{run}{number}", 2 if name == TWO else 1) as server:
                numbers = ack.under_load(server, path, seconds)
            size = sum(len(each.body) for each in posted[name]) / len(posted[name])
            report.add(PART, name, run, numbers | {"body_bytes": size})


def show(report: Report) -> None:
    """Print the table, and what a second process costs for each request."""
    report.table(PART, f"Acknowledged by Curbside, {load.CONNECTIONS} connections; median (least…most)", _COLUMNS)
    grown = report.ratio(PART, TWO, "700 B", "all_us")
    report.goals_below((("CPU of a request with two ingress processes over one, Valkey's too", grown, 1.1),))
