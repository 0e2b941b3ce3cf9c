"""What was measured: raw rows as JSON lines, and tables of medians with their spread."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

Numbers = dict[str, float]


class Report:
    """Keeps rows of `part`, `what`, `run` and numbers; each is written to the file as soon as it is known."""

    def __init__(self, console: Console, out: Path | None) -> None:
        self._console = console
        self._file = out.open("ab", buffering=0) if out else None
        self._rows: list[tuple[str, str, int, Numbers]] = []

    def note(self, what: dict[str, object]) -> None:
        """Write the head of the raw rows."""
        self._write(what)

    def add(self, part: str, what: str, run: int, numbers: Numbers) -> None:
        """Keep one measurement."""
        self._rows.append((part, what, run, numbers))
        self._write({"part": part, "what": what, "run": run, **numbers})

    def _write(self, row: dict[str, object] | dict[str, str | int | float]) -> None:
        if self._file:
            self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

    def values(self, part: str, what: str, number: str) -> dict[int, float]:
        """One number of one contender by run."""
        return {run: numbers[number] for p, w, run, numbers in self._rows if (p, w) == (part, what) and number in numbers}

    def names(self, part: str) -> list[str]:
        """All that was measured in a part."""
        return list(dict.fromkeys(w for p, w, _, _ in self._rows if p == part))

    def ratio(self, part: str, what: str, other: str, number: str) -> float:
        """The median over runs of one contender's number over another's in the same run; 0 if there is none."""
        mine, theirs = self.values(part, what, number), self.values(part, other, number)
        ratios = [mine[run] / theirs[run] for run in mine if theirs.get(run)]
        return statistics.median(ratios) if ratios else 0.0

    def median(self, part: str, what: str, number: str) -> float:
        """The median over runs; 0 if there is none."""
        return statistics.median(self.values(part, what, number).values() or [0.0])

    def table(
        self, part: str, title: str, columns: Sequence[tuple[str, str]], versus: Sequence[str] = (), by: str = ""
    ) -> None:
        """Print a part: for each (number, heading) the median and the spread, then ratios of `by` to some contenders."""
        table = Table(title=title, title_justify="left")
        table.add_column("")
        for heading in [heading for _, heading in columns] + [f"× {name.partition(' ')[0]}" for name in versus]:
            table.add_column(heading, justify="right")
        for what in self.names(part):
            cells = [shown(self.values(part, what, number).values()) for number, _ in columns]
            table.add_row(what, *cells, *(f"{self.ratio(part, what, other, by):.2f}" for other in versus))
        self._console.print(table)

    def goals(self, goals: Iterable[tuple[str, float, float]]) -> None:
        """Print goals as (what, reached, wanted at least)."""
        for what, reached, wanted in goals:
            mark = "[green]reached[/]" if reached >= wanted else "[red]missed [/]"
            self._console.print(f"  {mark} {what}: {number(reached)}, goal at least {number(wanted)}")

    def goals_below(self, goals: Iterable[tuple[str, float, float]]) -> None:
        """Print goals as (what, reached, wanted at most). A number that was not measured is no goal reached."""
        for what, reached, wanted in goals:
            mark = "[green]reached[/]" if 0 < reached <= wanted else "[red]missed [/]"
            self._console.print(f"  {mark} {what}: {number(reached)}, goal at most {number(wanted)}")


def number(value: float) -> str:
    """Three or so digits, as people read them."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def shown(values: Iterable[float]) -> str:
    """The median, and the smallest and the largest."""
    known = list(values)
    if not known:
        return "–"
    median = number(statistics.median(known))
    return median if len(known) == 1 else f"{median} ({number(min(known))}…{number(max(known))})"
