"""The load in waves: plans of the simulator, each made again from its seed when it is checked, so that a run of any length fits.

What was acknowledged is kept in a file for each wave, 16 bytes for each answer.
"""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from deploy.simulator.client import Attempt, PostResult
from deploy.simulator.plan import Faults, Plan, PlanOptions, make_plan

WAVE_POSTS = 5_000
POSTS_PER_ORDER = 7
FAULTS = Faults(duplicates=0.05, reordering=0.05, reverts=0.02, stale=0.02, bad_bodies=0.003, oddities=0.05)
LIFETIME = timedelta(minutes=100)
_RECORD = struct.Struct("<IQI")
_MANIFEST = "waves.jsonl"


class Wave(msgspec.Struct, frozen=True):
    """One plan of the run. `start`: the provider's time of the first order; two orders start `every_seconds`."""

    number: int
    seed: int
    start: datetime
    every_seconds: float
    posts: int = WAVE_POSTS

    def plan(self) -> Plan:
        """Return the plan: the same bytes each time."""
        every = timedelta(seconds=self.every_seconds)
        return make_plan(PlanOptions(self.seed, self.start, UTC, None, self.posts, FAULTS, every))


def next_wave(number: int, seed: int, now: datetime, rate: float) -> Wave:
    """Return a wave that begins now. Its start makes its ids unique."""
    start = now.replace(microsecond=now.microsecond // 1000 * 1000) - LIFETIME
    return Wave(number, seed * 1_000_000 + number, start, POSTS_PER_ORDER / rate)


class Answers:
    """Writes what became of a wave's posts, as the load hears of it."""

    def __init__(self, folder: Path, wave: Wave) -> None:
        with (folder / _MANIFEST).open("ab") as manifest:
            manifest.write(msgspec.json.encode(wave) + b"\n")
        self._output = _path(folder, wave).open("ab")

    def add(self, post: int, milliseconds: int = 0, sequence: int = 0) -> None:
        """Note that a post was acknowledged with this event id. Without one: it had no answer, and may be stored or not."""
        self._output.write(_RECORD.pack(post, milliseconds, sequence))

    def close(self) -> None:
        """Write everything."""
        self._output.close()


def read_waves(folder: Path) -> Iterator[Wave]:
    """Yield all waves that were begun."""
    if (manifest := folder / _MANIFEST).exists():
        for line in manifest.read_bytes().splitlines():
            yield msgspec.json.decode(line, type=Wave)


def results_of(folder: Path, wave: Wave, plan: Plan) -> list[PostResult]:
    """Return each post of a wave with its attempts that were acknowledged or unclear."""
    results = [PostResult(post) for post in plan.posts]
    for post, milliseconds, sequence in _RECORD.iter_unpack(_path(folder, wave).read_bytes()):
        attempt = Attempt(200, (milliseconds, sequence), 0.0) if milliseconds else Attempt(None, None, 0.0)
        results[post].attempts.append(attempt)
    return results


def _path(folder: Path, wave: Wave) -> Path:
    return folder / f"wave-{wave.number:05d}"
