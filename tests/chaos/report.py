"""Prints the verdict: a table of the kinds of fault, what is wrong, and one line of JSON for programs."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import orjson
from rich.console import Console

from tests.chaos.findings import Row, Wrong
from tests.chaos.options import Options
from tests.chaos.run import Progress
from tests.chaos.verdict import Verdict

MOST_SHOWN = 40
_LINE = "{:32} {:>4} {:>8}" + " {:>8}" * len(Wrong) + " {:>12} {:>13}  {}"


def progress_line(options: Options, progress: Progress) -> str:
    """The state of a run in one line."""
    now = ", ".join(progress.lasting) or "none"
    return (
        f"{progress.seconds:4.0f} of {options.seconds:g} s · {progress.acknowledged:,} acknowledged, {progress.waiting:,} not yet · "
        f"{progress.faults} faults made, now: {now}"
    )


def print_verdict(console: Console, options: Options, verdict: Verdict) -> None:
    """Print everything."""
    console.print(_LINE.format("fault", "made", "longest", *Wrong, "oldest wait", "oldest alert", "waited for"), markup=False)
    for row in verdict.rows:
        console.print(_LINE.format(*_cells(row)), markup=False)
    lines = Counter(_lines(verdict))
    for line, times in islice(lines.items(), MOST_SHOWN):
        console.print(line if times == 1 else f"{line} ({times} times)", markup=False)
    if len(lines) > MOST_SHOWN:
        console.print(f"… and {len(lines) - MOST_SHOWN} more lines")
    console.print(
        f"{verdict.checked.acknowledged:,} acknowledged in {verdict.seconds:.0f} s under {verdict.faults} faults of "
        f"{len([row for row in verdict.rows if row.faults])} kinds; {verdict.duplicates:,} duplicates; {verdict.checked.orders:,} orders "
        f"compared, {verdict.checked.unclear} unclear; {verdict.checked.stored_again} stored twice by an ingress; {verdict.alerts.sent:,} alerts, accepted {verdict.alerts.accepted:,} times; "
        f"nothing waited {verdict.settled_seconds:.0f} s after the load"
    )
    console.print(summary(options, verdict), markup=False)


def summary(options: Options, verdict: Verdict) -> str:
    """The result as one line of JSON."""
    return orjson.dumps(
        {
            "seed": options.seed,
            "server": options.server,
            "database": options.database,
            "seconds": round(verdict.seconds),
            "settled_seconds": round(verdict.settled_seconds, 1),
            "acknowledged": verdict.checked.acknowledged,
            "faults": verdict.faults,
            "kinds": [row.kind for row in verdict.rows if row.faults],
            **{each.value: verdict.total(each) for each in Wrong},
            "oldest_wait": round(verdict.oldest_wait, 1),
        }
    ).decode()


def _cells(row: Row) -> Iterator[str]:
    yield row.kind
    yield str(row.faults)
    yield f"{row.longest:.1f} s"
    for each in Wrong:
        yield str(row.findings.get(each, "-"))
    yield f"{row.oldest_wait:.1f} s"
    yield f"{row.oldest_alert:.1f} s"
    yield row.waited_for


def _lines(verdict: Verdict) -> Iterator[str]:
    """Each finding in a line; what waits and what the program could not do first, since it explains others."""
    order = [Wrong.PROGRAM, Wrong.WAITS, Wrong.DIED, Wrong.SUMS, Wrong.BLAMED, Wrong.DOUBLED, Wrong.LOST, Wrong.DIFFERS]
    for finding, kinds in sorted(verdict.findings, key=lambda each: order.index(each[0].wrong)):
        yield f"{finding.wrong}: {finding.text}" + (f"  [{', '.join(kinds)}]" if kinds else "")
