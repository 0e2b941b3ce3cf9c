"""Memory relief: when Valkey is nearly full, handled bodies go before new events are refused.

They go before their retention is over, the oldest first, so that a replay reaches back less far; `curbside status` says so. What waits
is kept, and a failure keeps its own bytes. Reading, XTRIM and the memory's INFO are allowed while Valkey is full.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import redis

from schemas import keys
from workers.valkey.inbox_trimmer import InboxTrimmer
from workers.valkey.store import Store

BEGIN_SHARE, END_SHARE = 0.85, 0.80
"""Of Valkey's memory limit: bodies go above the first, until the second is reached. The ingress refuses events above both."""
RUN_SECONDS = 0.25
_PAUSE_FACTOR = 20
"""A run that found nothing to remove is not repeated for this many times its duration."""

log = logging.getLogger("curbside.workers")


class MemoryRelief:
    """Frees memory. A worker's timer runs it each second."""

    def __init__(self, store: Store, handlers: Sequence[str], retention_ms: int) -> None:
        self._client, self._trimmer, self._retention_ms = store.client, InboxTrimmer(store, handlers), retention_ms
        self._not_before = 0.0

    def run_once(self) -> int:
        """Remove handled bodies if Valkey is nearly full, for a quarter of a second at the most. Returns how many were removed."""
        started = time.monotonic()
        if started < self._not_before or self._used_share() <= BEGIN_SHARE:
            return 0
        newest = (int(time.time() * 1000) + 86_400_000, 0)
        removed = self._trimmer.trim(
            newest, lambda: time.monotonic() >= started + RUN_SECONDS or self._used_share() <= END_SHARE
        )
        if removed:
            self._note(removed)
        else:
            self._not_before = time.monotonic() + _PAUSE_FACTOR * (time.monotonic() - started)
        return removed

    def _used_share(self) -> float:
        """How much of its memory limit Valkey uses; 0 if it has none, or does not say."""
        try:
            memory = self._client.info("memory")
        except redis.ResponseError:  # a managed server that does not answer INFO
            return 0.0
        limit = int(memory.get("maxmemory", 0))
        return int(memory.get("used_memory", 0)) / limit if limit else 0.0

    def _note(self, removed: int) -> None:
        """Record for `curbside status` from when on events are still in the inbox."""
        first: Any = self._client.xrange(keys.INBOX, count=1)
        oldest_ms = int(first[0][0].partition(b"-")[0]) if first else int(time.time() * 1000)
        log.warning("Valkey is nearly full: %d handled events left the inbox before INBOX_RETENTION was over", removed)
        try:
            self._client.set(keys.TRIMMED_EARLY, oldest_ms, px=max(1, self._retention_ms))
        except redis.exceptions.OutOfMemoryError:
            log.warning("Valkey is full: nothing more can be noted")
