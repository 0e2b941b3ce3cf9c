"""Part `sizes`: what Curbside acknowledges by size of body, and with two ingress processes in place of one.

A second process shares two cores with the first, with Valkey and with the load: what that does to any server, an empty
Starlette endpoint with two processes shows.
"""

from contextlib import AbstractContextManager
from pathlib import Path

from tests.bench import ack, load, servers
from tests.bench.bodies import SIZES, sized
from tests.bench.report import Report

PART = "sizes"
ONE, TWO = "700 B", "700 B, two ingress processes"
_EMPTY = ("empty Starlette endpoint", "empty Starlette endpoint, two processes")
_COLUMNS = (*ack.COLUMNS, ("body_bytes", "bytes/body"))


def measure(report: Report, folder: Path, runs: int, quick: bool) -> None:
    """Everything once in each round."""
    seconds = 1 if quick else 4
    posted = {name: sized(name, 200 if name == "60 kB" else 2_000) for name in SIZES}
    posted |= dict.fromkeys((TWO, *_EMPTY), posted[ONE])
    bodies = {name: load.write_bodies(folder / f"bodies{number}", each) for number, (name, each) in enumerate(posted.items())}
    for run in range(runs):
        for number, (name, path) in enumerate(bodies.items()):
            with _server(name, folder / f"{PART}{run}{number}") as server:
                numbers = ack.under_load(server, path, seconds)
            size = sum(len(each.body) for each in posted[name]) / len(posted[name])
            report.add(PART, name, run, numbers | {"body_bytes": size})


def _server(name: str, folder: Path) -> AbstractContextManager[servers.Server]:
    if name in _EMPTY:
        return servers.empty_starlette(folder, 1 + _EMPTY.index(name))
    return servers.curbside(folder, 2 if name == TWO else 1)


def show(report: Report) -> None:
    """Print the table, and what a second process costs for each request."""
    report.table(PART, f"Acknowledged, {load.CONNECTIONS} connections; median (least…most)", _COLUMNS)
    grown, empty = report.ratio(PART, TWO, ONE, "all_us"), report.ratio(PART, *_EMPTY[::-1], "all_us")
    report.goals_below(
        (
            ("CPU of a request with two ingress processes over one, Valkey's too", grown, 1.1),
            ("the same of an empty Starlette endpoint", empty, 1.1),
        )
    )
