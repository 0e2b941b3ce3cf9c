"""Reading streams as a member of their consumer group: new entries, own pending ones, and those of consumers that are silent.

A read entry is pending until it is acknowledged. Its claim is renewed while it is worked on; after `idle_ms` without a renewal
another consumer may take it over.
"""

from typing import Any

import redis

from schemas import keys
from workers.valkey import scripts
from workers.valkey.entries import Batch, Entry, entries_of, pairs_of


class GroupReader:
    """The reading side of the streams. Safe to share between threads."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.taken_over: bytes | None = None
        """How often inbox entries were taken over, as last seen."""
        self._claim, self._renew = scripts.load(client, "claim"), scripts.load(client, "renew")

    def read(self, stream: str, consumer: str, count: int, block_ms: int | None = None) -> Batch:
        """Read up to `count` new entries. Waits up to `block_ms` for one, or not at all."""
        known = self.taken_over
        batch = self._read(stream, consumer, ">", count, block_ms)
        batch.taken_over = known
        return batch

    def read_own(self, stream: str, consumer: str, after: str, count: int) -> Batch:
        """Read this consumer's pending entries again, after the given id (`0`: from the first)."""
        return self._read(stream, consumer, after, count, None)

    def claim(self, stream: str, consumer: str, idle_ms: int, count: int) -> Batch:
        """Take over entries whose consumer has been silent for `idle_ms`."""
        reply: Any = self._claim([stream], [keys.GROUP, consumer, idle_ms, count])
        batch = Batch(Entry(entry_id.decode(), pairs_of(fields)) for entry_id, fields, _ in reply)
        batch.consumer = consumer
        batch.deliveries = max((int(deliveries) for _, _, deliveries in reply), default=1)
        return batch

    def deliveries(self, stream: str, consumer: str, batch: Batch) -> int:
        """How often the entry of a batch was delivered that was delivered most often. Valkey counts each read."""
        first, last = batch[0].id, batch[-1].id
        reply: Any = self._raw("XPENDING", stream, keys.GROUP, first, last, len(batch), consumer)
        return max((int(deliveries) for _, _, _, deliveries in reply), default=1)

    def renew(self, stream: str, consumer: str, batch: Batch) -> int:
        """Renew this consumer's claim on a batch; return on how many entries. Those that another has taken over stay there."""
        reply: Any = self._renew([stream], [keys.GROUP, consumer, batch[0].id, batch[-1].id, len(batch)])
        return int(reply)

    def _read(self, stream: str, consumer: str, after: str, count: int, block_ms: int | None) -> Batch:
        block = () if block_ms is None else ("BLOCK", block_ms)
        reply: Any = self._raw("XREADGROUP", "GROUP", keys.GROUP, consumer, "COUNT", count, *block, "STREAMS", stream, after)
        batch = Batch(entries_of(reply[0][1]) if reply else ())
        batch.consumer = consumer
        return batch

    def _raw(self, command: str, *args: str | int) -> Any:
        """Run a command without redis-py's reply parser, which takes ten times as long: a command name in bytes has none."""
        return self.client.execute_command(command.encode(), *args)  # type: ignore[no-untyped-call]
