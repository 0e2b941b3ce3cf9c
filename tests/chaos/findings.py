"""What was wrong in a run, and the faults that it may come from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

AFTERMATH_SECONDS = 5.0
"""So long after its end a fault may still show in an event."""
NO_FAULT = "no fault"


class Wrong(StrEnum):
    """What can be wrong."""

    LOST = "lost"
    """An acknowledged event, or an effect of it, is missing."""
    DOUBLED = "doubled"
    """A row, a call or an alert that nothing asked for."""
    DIFFERS = "differs"
    """A row, or the content of an alert, is not what it must be."""
    WAITS = "waits"
    """Something waits at the end, or the end of a process took too long."""
    SUMS = "sums"
    """The sums do not hold."""
    BLAMED = "blamed"
    """An event has or had a failure on record that was not planted."""
    DIED = "died"
    """A process ended, and nobody asked for it."""
    PROGRAM = "program"
    """The program itself could not do something."""


class Made(NamedTuple):
    """A fault that was made, from when to when, by the wall clock."""

    number: int
    kind: str
    began: float
    ended: float


class Finding(NamedTuple):
    """One thing that is wrong. `at`: the wall clock of the event, or None if it has no time. `weight`: how many there are."""

    wrong: Wrong
    text: str
    at: float | None = None
    weight: int = 1


@dataclass
class Row:
    """What happened under one kind of fault. Times in seconds."""

    kind: str
    faults: int = 0
    longest: float = 0.0
    oldest_wait: float = 0.0
    waited_for: str = ""
    oldest_alert: float = 0.0
    findings: dict[Wrong, int] = field(default_factory=dict)


class Attribution:
    """Tells which kinds of fault were made around a time."""

    def __init__(self, made: Iterable[Made]) -> None:
        self._made = sorted(made, key=lambda each: each.began)
        self.rows = {each.kind: Row(each.kind) for each in self._made}
        for each in self._made:
            row = self.rows[each.kind]
            row.faults, row.longest = row.faults + 1, max(row.longest, each.ended - each.began)

    def around(self, begin: float, end: float) -> Iterator[Row]:
        """Yield the rows of the kinds of fault that lasted, or had just ended, at any moment between these times."""
        kinds = {each.kind for each in self._made if each.began <= end and each.ended + AFTERMATH_SECONDS >= begin}
        for kind in sorted(kinds) or (NO_FAULT,):
            yield self.rows.setdefault(kind, Row(kind))

    def most_of(self, begin: float, end: float) -> Row:
        """Return the row of the fault that took most of this time, or whose aftermath did."""
        share, kind = max(
            ((min(each.ended + AFTERMATH_SECONDS, end) - max(each.began, begin), each.kind) for each in self._made),
            default=(0.0, NO_FAULT),
        )
        return self.rows.setdefault(kind if share > 0 else NO_FAULT, Row(kind if share > 0 else NO_FAULT))

    def add(self, finding: Finding) -> list[str]:
        """Count a finding in the rows of its time. Returns the kinds."""
        if finding.at is None:
            return []
        rows = list(self.around(finding.at, finding.at))
        for row in rows:
            row.findings[finding.wrong] = row.findings.get(finding.wrong, 0) + finding.weight
        return [row.kind for row in rows]
