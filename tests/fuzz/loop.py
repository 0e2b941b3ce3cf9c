"""Runs many bodies in one process: damaged seeds and random bytes. Counts outcomes. The same seed makes the same bodies."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from schemas.contracts import CONTRACTS
from schemas.events import Event
from tests.fuzz.applied import BATCH, Applier, WronglyFailedError
from tests.fuzz.judge import DECODED, judged
from tests.fuzz.mutations import mutated
from tests.fuzz.odd import random_bytes
from tests.payloads import FOLDER

SHARE_OF_RANDOM_BYTES = 0.1
_FIRST_ID = 1_732_300_000_000
"""The time of receipt of a batch's first body; each later one is received a millisecond later."""


class MisjudgedError(Exception):
    """A body that the decoders did not take as they promise. `body` is it, the cause says what happened."""

    def __init__(self, body: bytes) -> None:
        super().__init__("a body that is neither decoded nor refused as promised")
        self.body = body


@dataclass
class Tally:
    """What became of bodies, by provider and outcome. Their events are applied in batches; `finish` applies the last."""

    bodies: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    _applier: Applier = field(default_factory=Applier, compare=False)
    _waiting: list[bytes] = field(default_factory=list, compare=False)
    _events: list[Event] = field(default_factory=list, compare=False)

    def add(self, body: bytes) -> None:
        """Judge one more. Raises `MisjudgedError`."""
        event_id = f"{_FIRST_ID + len(self._waiting)}-0"
        try:
            outcomes = judged(body, event_id)
        except Exception as error:
            raise MisjudgedError(body) from error
        self.bodies += 1
        self._waiting.append(body)
        self._events += [each for each in outcomes if isinstance(each, Event)]
        words = (each if isinstance(each, str) else DECODED for each in outcomes)
        self.outcomes.update(zip(CONTRACTS, words, strict=True))
        if len(self._waiting) >= BATCH:
            self.finish()

    def finish(self) -> None:
        """Apply what waits. Raises `MisjudgedError`."""
        bodies, events = self._waiting, self._events
        self._waiting, self._events = [], []
        try:
            self._applier.apply(events)
        except WronglyFailedError as error:
            raise MisjudgedError(bodies[int(error.event_id.partition("-")[0]) - _FIRST_ID]) from error


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
            break
        tally.add(body)
    tally.finish()
