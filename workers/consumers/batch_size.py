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


class ReadCount:
    """How many entries to read next (`value`)."""

    def __init__(self, size: BatchSize) -> None:
        self._size, self._most = size, size.entries or size.events
        self.value = min(self._most, FIRST_READ)

    def learn(self, entries: Sequence[Entry]) -> int:
        """Learn from entries that were read. Returns how many events they stand for."""
        read, events_in = len(entries), self._size.events_in
        events = read if events_in is None else max(1, sum(map(events_in, entries)))
        by_bytes = MAX_BATCH_BYTES * read // max(1, body_bytes(entries))
        self.value = max(1, min(self._most, self.value * GROWTH, self._size.events * read // events, by_bytes))
        return events


def body_bytes(entries: Sequence[Entry]) -> int:
    """The size of the bodies of these entries, as they are stored."""
    return sum([len(entry.fields.get(FIELD_BODY, b"")) for entry in entries])
