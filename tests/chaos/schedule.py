"""Which faults a run makes, and when: decided by the seed before it begins. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import NamedTuple

from tests.chaos.kinds import Kind, Turn

QUIET_SECONDS = 2.0
"""Load without a fault, at the beginning."""


class Planned(NamedTuple):
    """A fault that begins `at` seconds after the load, or when fewer than two others last."""

    number: int
    at: float
    kind: Kind
    turn: Turn


def plan_faults(seed: int, kinds: Sequence[Kind], count: int, seconds: float) -> list[Planned]:
    """Return the faults. Every kind comes once before one comes again."""
    chance = Random(f"{seed} faults")  # noqa: S311 - the same in every run
    every = (seconds - QUIET_SECONDS) / max(1, count)
    planned = []
    for number, kind in enumerate(islice(_decks(kinds, chance), count)):
        at = QUIET_SECONDS + every * (number + chance.random() * 0.5)
        turn = Turn(chance.uniform(*kind.seconds), Random(f"{seed} fault {number}"))  # noqa: S311 - likewise
        planned.append(Planned(number, at, kind, turn))
    return planned


def _decks(kinds: Sequence[Kind], chance: Random) -> Iterator[Kind]:
    while kinds:
        yield from chance.sample(kinds, len(kinds))


def conflicts(kind: Kind, others: Iterable[Kind]) -> bool:
    """Whether a fault must wait until these have ended."""
    return any(kind.touches & other.touches for other in others)
