"""Housekeeping: trims the inbox, removes idle consumers, finds lost claim checks, detects missing fields. One worker runs it every half minute."""

import logging
import time
from collections.abc import Sequence
from datetime import timedelta

from schemas import keys
from schemas.parsing.durations import milliseconds
from schemas.stream_groups import StreamId
from workers.contract_drift import note_missing
from workers.valkey.inbox_trimmer import InboxTrimmer
from workers.valkey.store import Store

PERIOD_MS = 30_000
IDLE_CONSUMER_MS = 3_600_000
TRIM_SECONDS = 10.0
"""The longest that one run trims. A million entries take less than a second."""

log = logging.getLogger("curbside.workers")


class Housekeeping:
    """Limits the memory that Valkey uses. Trims by age, never past an event that still waits."""

    def __init__(self, store: Store, handlers: Sequence[str], retention: timedelta) -> None:
        self._store, self._handlers = store, handlers
        self._trimmer = InboxTrimmer(store, handlers)
        self._retention_ms = milliseconds(retention)

    def run(self) -> None:
        """Run once."""
        streams = [keys.INBOX, *map(keys.todo, self._handlers)]
        self._store.ensure_groups(streams)
        until = time.monotonic() + TRIM_SECONDS
        self._trimmer.trim(self._by_age(int(time.time() * 1000)), lambda: time.monotonic() >= until)
        self._store.finish_commits()
        for stream in streams:
            self._store.remove_idle_consumers(stream, IDLE_CONSUMER_MS)
            if stream != keys.INBOX and (orphans := self._store.recover_orphans(stream, IDLE_CONSUMER_MS)):
                log.warning(
                    "%d claim checks of %s were lost with a consumer that was deleted; they are handled now", orphans, stream
                )
        note_missing(self._store.client, int(time.time() * 1000))

    def trim_limit(self, now_ms: int) -> StreamId | None:
        """The first entry to keep; None if there is no inbox. A retention that reaches before 1970 keeps every entry."""
        needed = self._trimmer.needed()
        return None if needed is None else min(self._by_age(now_ms), needed.first)

    def _by_age(self, now_ms: int) -> StreamId:
        return max(0, now_ms - self._retention_ms), 0
