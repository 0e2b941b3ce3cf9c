"""A handler's events that have a failure record. The record decides about its event, and no claim check does.

An event may have a record and a claim check at once: it was replayed while it waited, or a worker lost its claim. Then

| the record                             | the claim check                                                              |
|----------------------------------------|------------------------------------------------------------------------------|
| exists before the batch is applied     | applies nothing, whatever the record's state: it is retried, dead, discarded |
| appears while the batch is applied     | the event is applied, so the record is resolved as after a successful retry  |
| exists when the event fails once more  | changes nothing: the record and a person's decision stay                     |

In each case the sum of the handler holds: an event that was routed twice counts once where a record took its place.
"""

import logging
from collections.abc import Collection
from typing import Any

from redis import Redis

from schemas import keys
from schemas.failures import FailureState
from workers.errors import FailureNotFoundError
from workers.failures.failure_store import FailureStore
from workers.valkey import scripts

log = logging.getLogger("curbside.workers")


class RecordedEvents:
    """Finds and resolves the records of one handler's events."""

    def __init__(self, client: Redis, handler: str) -> None:
        self._handler, self._failures = handler, FailureStore(client)
        self._script = scripts.load(client, "recorded")

    def of(self, event_ids: Collection[str]) -> set[str]:
        """Those of the events that have a failure record."""
        found: Any = self._script([keys.FAILURES], [self._handler, *event_ids]) if event_ids else ()
        return {event_id.decode() for event_id in found}

    def resolve(self, event_ids: Collection[str]) -> None:
        """Resolve the records that events got while they were being applied. A crash before it leaves them to be retried."""
        for event_id in sorted(self.of(event_ids)):
            try:
                failure = self._failures.get(self._handler, event_id)
            except FailureNotFoundError:
                continue
            if self._failures.resolve(failure) and failure.state is FailureState.DISCARDED:
                log.warning("%s was discarded at the moment at which it was applied: it is applied", failure.field)
