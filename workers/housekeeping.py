"""Housekeeping: trims the inbox, removes idle consumers, finds lost claim checks, detects missing fields. One worker runs it every half minute."""

import logging
import time
from collections.abc import Sequence
from datetime import timedelta

from schemas import keys
from schemas.parsing.durations import milliseconds
from schemas.stream_groups import StreamId, stream_id
from workers.contract_drift import note_missing
from workers.valkey.entries import event_ids
from workers.valkey.store import Store

PERIOD_MS = 30_000
IDLE_CONSUMER_MS = 3_600_000
MAX_SCANNED = 100_000
"""The most claim checks read to find the oldest waiting event. If more wait, this run trims nothing."""
_PAGE = 10_000

log = logging.getLogger("curbside.workers")


class Housekeeping:
    """Limits the memory that Valkey uses. Trims by age, never past an event that still waits."""

    def __init__(self, store: Store, handlers: Sequence[str], retention: timedelta) -> None:
        self._store, self._handlers = store, handlers
        self._retention_ms = milliseconds(retention)

    def run(self) -> None:
        """Run once."""
        streams = [keys.INBOX, *map(keys.todo, self._handlers)]
        self._store.ensure_groups(streams)
        self._store.finish_commits()
        limit = self.trim_limit(int(time.time() * 1000))
        if limit is not None:
            self._store.trim_inbox(f"{limit[0]}-{limit[1]}")
        for stream in streams:
            self._store.remove_idle_consumers(stream, IDLE_CONSUMER_MS)
            if stream != keys.INBOX and (orphans := self._store.recover_orphans(stream, IDLE_CONSUMER_MS)):
                log.warning(
                    "%d claim checks of %s were lost with a consumer that was deleted; they are handled now", orphans, stream
                )
        note_missing(self._store.client, int(time.time() * 1000))

    def trim_limit(self, now_ms: int) -> StreamId | None:
        """The first entry to keep; None if it is unknown now. A retention that reaches before 1970 keeps every entry."""
        limit: StreamId = (max(0, now_ms - self._retention_ms), 0)
        for oldest in [self._oldest_in_inbox(), *map(self._oldest_of, self._handlers)]:
            if oldest is None:
                return None
            limit = min(limit, oldest)
        return limit

    def _oldest_in_inbox(self) -> StreamId | None:
        """The oldest entry that the dispatcher has not acknowledged."""
        waiting = self._store.oldest_unacknowledged(keys.INBOX)
        return stream_id(waiting) if waiting is not None else None

    def _oldest_of(self, handler: str) -> StreamId | None:
        """The oldest event that waits for a handler. A claim check names its oldest event first; claim checks are unordered."""
        oldest: StreamId = (1 << 62, 0)
        scanned, start = 0, "-"
        while page := self._store.page(keys.todo(handler), start, _PAGE):
            oldest = min(oldest, *(stream_id(event_ids(entry)[0]) for entry in page))
            scanned, start = scanned + len(page), f"({page[-1].id}"
            if scanned >= MAX_SCANNED:
                log.warning("inbox not trimmed: more than %d claim checks wait for %s", MAX_SCANNED, handler)
                return None
        return oldest
