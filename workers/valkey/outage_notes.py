"""What queues cannot reach, as `curbside status` shows it: noted by workers again and again, as long as it lasts."""

import time
from contextlib import suppress
from typing import Any

import redis

from schemas import keys

_KEYS = (keys.UNREACHABLE, keys.UNREACHABLE_SINCE, keys.UNREACHABLE_NOTED)
_LIFETIME_SECONDS = 600


class OutageNotes:
    """The writing side."""

    client: redis.Redis

    def note_unreachable(self, queue: str, what: str, since_ms: int | None = None) -> None:
        """Record what a queue's work cannot reach, and since when: by default since the first such call of those that follow each other.

        It does nothing if Valkey does not let us.
        """
        now_ms = int(time.time() * 1000)
        with suppress(redis.ResponseError):
            known: Any = self.client.hget(keys.UNREACHABLE_NOTED, queue)
            pipeline = self.client.pipeline(transaction=True)
            pipeline.hset(keys.UNREACHABLE, queue, what)
            note = pipeline.hset if known is None or is_stale(int(known), now_ms) else pipeline.hsetnx
            note(keys.UNREACHABLE_SINCE, queue, now_ms if since_ms is None else since_ms)
            pipeline.hset(keys.UNREACHABLE_NOTED, queue, now_ms)
            for key in _KEYS:
                pipeline.expire(key, _LIFETIME_SECONDS)
            pipeline.execute()

    def note_reachable(self, queue: str) -> None:
        """Remove the record of `note_unreachable`."""
        pipeline = self.client.pipeline(transaction=True)
        for key in _KEYS:
            pipeline.hdel(key, queue)
        pipeline.execute()


def is_stale(noted_ms: int, now_ms: int) -> bool:
    """Whether an outage was not noted again for so long that it is over, or that whoever noted it has ended."""
    return now_ms - noted_ms > keys.UNREACHABLE_STALE_MS
