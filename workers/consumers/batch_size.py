"""How much a consumer takes at once. A batch is bounded in events, in entries and in bytes.

XREADGROUP knows entries only. So their number is learned: it begins small, grows at most fourfold from read to read, and shrinks
at once where entries are large.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.keys import FIELD_BODY
from workers.valkey.entries import BATCH, Entry

MAX_BATCH_BYTES = 16 << 20
"""Bodies in a batch. A single body may be larger; that is then the batch."""
FIRST_READ = 16
"""Entries in a process' first read of a stream: with bodies of 1 MiB they are a batch."""
GROWTH = 4
DISPATCH_BATCH = 1024
"""Entries in a batch of the dispatcher. A batch costs two round trips and two fsyncs, whatever its size."""
MAX_CLAIM_CHECKS = 16
"""Claim checks in a batch of a handler. If each is full, the batch is still about a second's work."""


@dataclass(frozen=True)
class BatchSize:
    """How much is taken at once: about `events` events, and at most `entries` entries (None: as many as events)."""

    events: int = BATCH
    entries: int | None = None
    events_in: Callable[[Entry], int] | None = None
    """How many events an entry stands for; None: one."""


class LearnedCount:
    """How many entries to read, or events to load, next (`value`): at most `most`, and about `MAX_BATCH_BYTES` of bodies."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.value = min(most, FIRST_READ)

    def learn(self, count: int, size_bytes: int, most: int | None = None) -> None:
        """Learn from what was read last, and how large its bodies were. `most`: a further limit for now."""
        by_bytes = MAX_BATCH_BYTES * count // max(1, size_bytes)
        self.value = max(1, min(self._most, self._most if most is None else most, self.value * GROWTH, by_bytes))


def body_bytes(entries: Sequence[Entry]) -> int:
    """The size of the bodies of these entries, as they are stored."""
    return sum([len(entry.fields.get(FIELD_BODY, b"")) for entry in entries])
