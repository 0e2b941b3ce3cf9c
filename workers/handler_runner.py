"""The handler runner: decodes the events of a handler's batch, applies them in one SQL transaction, and acknowledges them.

A crash before the commit leaves the batch pending. After a later crash the batch is applied again: the unique key of every row
makes that a no-op. If an event fails, the batch is halved until that event is alone: only it becomes a failure, which
`workers.retry_executor` retries.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from schemas.events import Event
from schemas.failures import DecodeError, Failure, Reason
from schemas.keys import FIELD_BODY
from schemas.tasks import retry_task_name
from workers.alerts.outbox_relay import OutboxRelay
from workers.batch_applier import BatchApplier
from workers.dispatcher import undecodable_failure
from workers.errors import DependencyUnavailableError
from workers.event_decoder import EventDecoder
from workers.failures.error_report import reason_of
from workers.failures.failure_store import first_task_id
from workers.failures.recorded_events import RecordedEvents
from workers.failures.retry_policy import after_attempt, after_outage
from workers.handler import Handler
from workers.ledger.ledger import Ledger
from workers.valkey.entries import Entry, event_ids, provider_of, request_of
from workers.valkey.store import HandledCheck, Store

log = logging.getLogger("curbside.workers")


class ClaimedEvent(NamedTuple):
    """An event being handled: the claim check that names it, and its raw body, which a failure keeps."""

    todo_id: str
    event: Event
    body: bytes


class HandlerRunner:
    """Runs one handler on batches of its todo stream."""

    def __init__(self, handler: Handler, store: Store, ledger: Ledger, relay: OutboxRelay, decoder: EventDecoder) -> None:
        self._handler, self._store = handler, store
        self._applier, self._decoder = BatchApplier(handler, ledger, relay), decoder
        self._recorded = RecordedEvents(store.client, handler.name)

    def process(self, entries: Sequence[Entry]) -> None:
        """Give each entry its one outcome. Raises `DependencyUnavailableError` in an outage: then nothing is acknowledged."""
        now_ms = int(time.time() * 1000)
        checks = {entry.id: event_ids(entry) for entry in entries}
        left, claimed, failed = self._load_events(entries, checks, now_ms)
        outbox_due: list[int] = []
        refused = self._applier.apply(claimed, outbox_due)
        failed += [(each.todo_id, self._failure(each, error, now_ms)) for each, error in refused]
        failures: dict[str, list[Failure]] = {}
        for todo_id, failure in failed:
            failures.setdefault(todo_id, []).append(failure)
        done = [HandledCheck(todo_id, len(ids), left[todo_id], failures.get(todo_id, ())) for todo_id, ids in checks.items()]
        if self._store.ack_batch(self._handler.name, done, min(outbox_due, default=None)):
            self._recorded.resolve({each.event.event_id for each in claimed} - {failure.event_id for _, failure in failed})

    def _load_events(
        self, entries: Sequence[Entry], checks: Mapping[str, Sequence[str]], now_ms: int
    ) -> tuple[Counter[str], list[ClaimedEvent], list[tuple[str, Failure]]]:
        """The events that claim checks name, and a failure for each undecodable one. A deleted claim check names none.

        An event with a failure record is left to it: for each claim check, how many of its events are.
        """
        in_inbox = self._store.load_bodies(
            (checks[entry.id] for entry in entries if FIELD_BODY not in entry.fields),
            near=self._handler.kinds is None,
            handler=self._handler.name,
        )
        recorded = self._recorded.of([each for ids in checks.values() for each in ids]) if in_inbox.failures else set()
        left, claimed, failed = Counter[str](), [], []
        for entry, event_id in [(each, event_id) for each in entries for event_id in checks[each.id]]:
            if event_id in recorded:
                left[entry.id] += 1
                continue
            fields = entry.fields if FIELD_BODY in entry.fields else in_inbox.get(event_id, {})
            provider, body = provider_of(fields), fields.get(FIELD_BODY, b"")
            try:
                if not fields:
                    raise DecodeError(Reason.BODY_MISSING, "its body is no longer in the inbox")
                claimed.append(ClaimedEvent(entry.id, self._decoder.decode(provider, body, event_id, request_of(fields)), body))
            except Exception as error:  # also a bug in a decoder: one event must not stop the others
                failure = undecodable_failure(event_id, self._handler.name, fields, error, now_ms)
                failed.append((entry.id, failure))
        return left, claimed, failed

    def _failure(self, claimed: ClaimedEvent, error: Exception, now_ms: int) -> Failure:
        new = Failure(
            event_id=claimed.event.event_id,
            handler=self._handler.name,
            provider=claimed.event.provider,
            reason=reason_of(error),
            message="",
            body=claimed.body,
            request=claimed.event.request,
            order_ids=claimed.event.order_ids,
            kind=claimed.event.kind,
            identity=claimed.event.identity,
            attempts=0,
            task_id=first_task_id(self._handler.name, claimed.event.event_id),
        )
        if isinstance(error, DependencyUnavailableError):
            return self._set_aside(new, error, now_ms)
        failure = after_attempt(new, error, self._handler.retry, now_ms, random.uniform)
        log.error("%s failed: %s (%s), now %s", failure.field, failure.reason, type(error).__name__, failure.state)
        return failure

    def _set_aside(self, new: Failure, error: DependencyUnavailableError, now_ms: int) -> Failure:
        """The record of an event that is held up: it lets the others pass, and is retried by itself."""
        failure = after_outage(new, now_ms, random.uniform, error)
        log.warning("%s is set aside: %s is unreachable", failure.field, error)
        self._store.note_unreachable(retry_task_name(failure.handler), str(error), failure.first_at_ms)
        return failure
