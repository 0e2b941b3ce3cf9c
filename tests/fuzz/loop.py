"""Runs many bodies in one process: damaged seeds and random bytes. Counts outcomes. The same seed makes the same bodies."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from schemas.contracts import CONTRACTS
from tests.fuzz.judge import judged
from tests.fuzz.mutations import mutated
from tests.fuzz.odd import random_bytes
from tests.payloads import FOLDER

SHARE_OF_RANDOM_BYTES = 0.1


class MisjudgedError(Exception):
    """A body that the decoders did not take as they promise. `body` is it, the cause says what happened."""

    def __init__(self, body: bytes) -> None:
        super().__init__("a body that is neither decoded nor refused as promised")
        self.body = body


@dataclass
class Tally:
    """What became of bodies, by provider and outcome."""

    bodies: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, body: bytes) -> None:
        """Judge one more. Raises `MisjudgedError`."""
        try:
            outcomes = judged(body)
        except Exception as error:
            raise MisjudgedError(body) from error
        self.bodies += 1
        self.outcomes.update(zip(CONTRACTS, outcomes, strict=True))


def seeds() -> list[bytes]:
    """The recorded bodies."""
    return [path.read_bytes() for path in sorted(FOLDER.rglob("*.json"))]


def bodies(seed: int) -> Iterator[bytes]:
    """Without end: recorded bodies as they are first, then damaged ones and random bytes."""
    rng, recorded = Random(seed), seeds()  # noqa: S311 - to be made again, not to be secret
    yield from recorded
    while True:
        yield random_bytes(rng) if rng.random() < SHARE_OF_RANDOM_BYTES else mutated(rng.choice(recorded), rng)


def run(tally: Tally, seed: int, goes_on: Callable[[], bool]) -> None:
    """Judge bodies as long as `goes_on` says. Raises `MisjudgedError` at the first that is not taken as promised."""
    for body in bodies(seed):
        if not goes_on():
            return
        tally.add(body)
