"""Handling: decodes the events of a handler's batch fully, applies them in one SQL transaction, acknowledges them.

A crash before the commit leaves the batch pending; after it the batch is applied again, which every row's unique key makes a
no-op. If an event is at fault, the batch is halved until that event stands alone: it alone goes to the record of failures, and from
there to the slow lane (`workers.retry`).
"""

import logging
import random
import time
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import NamedTuple

from schemas.decoding import decode
from schemas.events import Event
from schemas.failures import Failure, Reason, Undecodable
from schemas.keys import FIELD_BODY
from workers.blame import after_try, reason_of
from workers.deliver import Deliver
from workers.drain import provider_of, request_of, undecodable_failure
from workers.entries import Entry, event_ids
from workers.errors import Unreachable
from workers.failures import first_task_id
from workers.handler import Handler
from workers.ledger.ledger import Ledger
from workers.store import UNAVAILABLE, Store

log = logging.getLogger("curbside.workers")


class Taken(NamedTuple):
    """An event in hand: the claim check that names it, and its bytes, for the case that it fails."""

    todo_id: str
    event: Event
    body: bytes


class Handle:
    """Handles batches of one handler's todo stream."""

    def __init__(self, handler: Handler, store: Store, ledger: Ledger, deliver: Deliver, zone: tzinfo) -> None:
        self._handler, self._store = handler, store
        self._ledger, self._deliver, self._zone = ledger, deliver, zone

    def process(self, entries: Sequence[Entry]) -> None:
        """Give each entry its one outcome. Raises `Unreachable` if the world is away: then nothing is acknowledged."""
        now_ms = int(time.time() * 1000)
        checks = {entry.id: event_ids(entry) for entry in entries}
        taken, failed = self._redeem(entries, checks, now_ms)
        looks: list[int] = []
        refused = self._apply(taken, looks)
        failed += [(each.todo_id, self._failure(each, error, now_ms)) for each, error in refused]
        failures: dict[str, list[Failure]] = {}
        for todo_id, failure in failed:
            failures.setdefault(todo_id, []).append(failure)
        done = [(name, len(ids), failures.get(name, ())) for name, ids in checks.items()]
        self._store.settle(self._handler.name, done, min(looks, default=None))

    def _redeem(
        self, entries: Sequence[Entry], checks: Mapping[str, Sequence[str]], now_ms: int
    ) -> tuple[list[Taken], list[tuple[str, Failure]]]:
        """Turn claim checks into events; those that cannot be are failures already. One that was deleted in our hands names none."""
        in_inbox = self._store.bodies(
            (checks[entry.id] for entry in entries if FIELD_BODY not in entry.fields), near=self._handler.kinds is None
        )
        taken, failed = [], []
        for entry, event_id in [(each, event_id) for each in entries for event_id in checks[each.id]]:
            fields = entry.fields if FIELD_BODY in entry.fields else in_inbox.get(event_id, {})
            provider, body = provider_of(fields), fields.get(FIELD_BODY, b"")
            try:
                if not fields:
                    raise Undecodable(Reason.BODY_MISSING, "its body is no longer in the inbox")
                taken.append(Taken(entry.id, decode(provider, body, event_id, self._zone, request_of(fields)), body))
            except Exception as error:  # also a bug of ours: one event must not stop the others
                failure = undecodable_failure(event_id, self._handler.name, fields, error, now_ms)
                failed.append((entry.id, failure))
        return taken, failed

    def _apply(self, taken: Sequence[Taken], looks: list[int]) -> list[tuple[Taken, Exception]]:
        """Apply events in one transaction, or in ever smaller ones until those at fault stand alone. Returns these, with why.

        Adds to `looks` when the outbox is to be looked at.
        """
        if not taken:
            return []
        try:
            alerts = self._ledger.apply(self._handler, [each.event for each in taken], self._deliver.room)
        except (Unreachable, *UNAVAILABLE):
            raise
        except Exception as error:  # a handler may raise anything: it is then this event's, or one half's
            if len(taken) == 1:
                return [(taken[0], error)]
        else:
            look = self._deliver.take(alerts)
            looks += [] if look is None else [look]
            return []
        half = len(taken) // 2
        return self._apply(taken[:half], looks) + self._apply(taken[half:], looks)

    def _failure(self, taken: Taken, error: Exception, now_ms: int) -> Failure:
        failure = after_try(
            Failure(
                event_id=taken.event.event_id,
                handler=self._handler.name,
                provider=taken.event.provider,
                reason=reason_of(error),
                message="",
                body=taken.body,
                request=taken.event.request,
                order_ids=taken.event.order_ids,
                kind=taken.event.kind,
                identity=taken.event.identity,
                attempts=0,
                task_id=first_task_id(self._handler.name, taken.event.event_id),
            ),
            error,
            self._handler.retry,
            now_ms,
            random.uniform,
        )
        log.error("%s failed: %s (%s), now %s", failure.field, failure.reason, type(error).__name__, failure.state)
        return failure
