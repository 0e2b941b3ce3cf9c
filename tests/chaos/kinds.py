"""The registry of the kinds of fault. Each is a function in a file named for what it acts on, under `@fault(…)`.

A fault begins when it is called and ends, with everything repaired, when it has returned. It lets time pass by `site.wait`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from tests.chaos.site import Site


class Turn(NamedTuple):
    """One fault: how long it lasts, and the random numbers by which it chooses."""

    seconds: float
    chance: Random


Act = Callable[[Site, Turn], None]


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `seconds`: the shortest and the longest. `touches`: faults that touch the same thing do not overlap."""

    name: str
    about: str
    touches: frozenset[str]
    seconds: tuple[float, float]
    act: Act

    @property
    def needs_postgresql(self) -> bool:
        """Whether there is no such fault with SQLite."""
        return "postgresql" in self.touches


KINDS: dict[str, Kind] = {}
EVERYTHING = frozenset({"ingress", "urgent", "bulk"})


def fault(name: str, about: str, touches: str, shortest: float = 0.0, longest: float = 0.0) -> Callable[[Act], Act]:
    """Register a kind of fault. `touches`: names separated by spaces."""

    def register(act: Act) -> Act:
        KINDS[name] = Kind(name, about, frozenset(touches.split()), (shortest, longest), act)
        return act

    return register
