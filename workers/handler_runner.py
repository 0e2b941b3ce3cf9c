"""The handler runner: decodes the events of a handler's batch, applies them in one SQL transaction, and acknowledges them.

A crash before the commit leaves the batch pending. After a later crash the batch is applied again: the unique key of every row
makes that a no-op. If an event fails, the batch is halved until that event is alone: only it becomes a failure, which
`workers.retry_executor` retries.

A batch whose worker ended is tried in an isolated process (`workers.suspects`), and so is every batch of a handler with a `timeout`.
What is loaded at once is bounded: the claim checks of a batch are handled in groups of about `MAX_BATCH_BYTES` of bodies.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import NamedTuple

from schemas.events import Event
from schemas.failures import DecodeError, Failure, Reason
from schemas.keys import FIELD_BODY
from schemas.tasks import retry_task_name
from workers.alerts.outbox_relay import OutboxRelay
from workers.batch_applier import BatchApplier
from workers.consumers.batch_size import MAX_BATCH_BYTES, LearnedCount
from workers.dispatcher import undecodable_failure
from workers.errors import DependencyUnavailableError, KilledWorkerError
from workers.event_decoder import EventDecoder
from workers.failures.error_report import reason_of
from workers.failures.failure_store import first_task_id
from workers.failures.recorded_events import RecordedEvents
from workers.failures.retry_policy import after_attempt, after_outage
from workers.handler import Handler
from workers.ledger.ledger import Ledger
from workers.ledger.unit_of_work import Applied
from workers.suspects import ALONE_FROM_DELIVERY, Suspects, isolated_event
from workers.valkey.entries import BATCH, Batch, Entry, Fields, event_ids, events_in, provider_of, request_of
from workers.valkey.store import HandledCheck, Store

log = logging.getLogger("curbside.workers")

ISOLATED_SECONDS = 600.0
"""So long after an event of a handler was blamed, all its batches are applied in an isolated process: one such event comes seldom alone."""


class ClaimedEvent(NamedTuple):
    """An event being handled: the claim check that names it, and its raw body, which a failure keeps."""

    todo_id: str
    event: Event
    body: bytes


class DecodedGroup(NamedTuple):
    """Claim checks with the events that they name: those that can be applied, and a failure for each that cannot be decoded."""

    checks: dict[str, int]
    """How many events each names, by its todo id."""
    left: Counter[str]
    """How many of these are left to their failure records."""
    claimed: list[ClaimedEvent]
    failed: list[tuple[str, Failure]]


class HandlerRunner:
    """Runs one handler on batches of its todo stream. `suspects`: where it runs those that are not safe here; None: here as well."""

    def __init__(
        self,
        handler: Handler,
        store: Store,
        ledger: Ledger,
        relay: OutboxRelay,
        decoder: EventDecoder,
        suspects: Suspects | None = None,
    ) -> None:
        self._handler, self._store = handler, store
        self._applier, self._decoder = BatchApplier(handler, ledger, relay), decoder
        self._recorded = RecordedEvents(store.client, handler.name)
        self._suspects, self._isolated_until = suspects, 0.0
        self._room = LearnedCount(4 * BATCH)

    def process(self, entries: Sequence[Entry]) -> None:
        """Give each entry its one outcome. Raises `DependencyUnavailableError` in an outage: then nothing is acknowledged."""
        deliveries = entries.deliveries if isinstance(entries, Batch) else 1
        now_ms = int(time.time() * 1000)
        try:
            for loaded in self._loads(entries):
                for group in self._decoded(loaded, deliveries, now_ms):
                    self._process_group(group, deliveries, now_ms)
        finally:
            if self._suspects is not None and not self._is_isolated:
                self._suspects.close()

    def _process_group(self, group: DecodedGroup, deliveries: int, now_ms: int) -> None:
        outbox_due: list[int] = []
        refused: list[tuple[ClaimedEvent, Exception]] = []
        isolated = self._isolated_run(deliveries)
        step = 1 if isolated and deliveries >= ALONE_FROM_DELIVERY else self._handler.batch or len(group.claimed) or 1
        for at in range(0, len(group.claimed), step):
            refused += self._applier.apply(group.claimed[at : at + step], outbox_due, isolated)
        failures: dict[str, list[Failure]] = {}
        for todo_id, failure in group.failed:
            failures.setdefault(todo_id, []).append(failure)
        for each, error in refused:
            failures.setdefault(each.todo_id, []).append(self._failure(each, error, now_ms))
        done = [HandledCheck(each, count, group.left[each], failures.get(each, ())) for each, count in group.checks.items()]
        if self._store.ack_batch(self._handler.name, done, min(outbox_due, default=None)):
            failed = {failure.event_id for its in failures.values() for failure in its}
            self._recorded.resolve({each.event.event_id for each in group.claimed} - failed)

    def _loads(self, entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
        """The claim checks in parts whose bodies may be loaded at once, by what has been learned of their size."""
        part, events = list[Entry](), 0
        for entry in entries:
            named = events_in(entry)
            if part and events + named > self._room.value:
                yield part
                part, events = [], 0
            part.append(entry)
            events += named
        if part:
            yield part

    def _decoded(self, entries: Sequence[Entry], deliveries: int, now_ms: int) -> Iterator[DecodedGroup]:
        """The events that claim checks name, in groups of about `MAX_BATCH_BYTES`. A deleted claim check names none.

        An event with a failure record is left to it.
        """
        checks = {entry.id: event_ids(entry) for entry in entries}
        in_inbox = self._store.load_bodies(
            (checks[entry.id] for entry in entries if FIELD_BODY not in entry.fields),
            near=self._handler.kinds is None,
            handler=self._handler.name,
        )
        recorded = self._recorded.of([each for ids in checks.values() for each in ids]) if in_inbox.failures else set()
        found = [
            (entry, event_id, entry.fields if FIELD_BODY in entry.fields else in_inbox.get(event_id, {}))
            for entry in entries
            for event_id in checks[entry.id]
        ]
        killing = self._killing([(each, fields) for _, each, fields in found if each not in recorded], deliveries)
        group, group_bytes, all_bytes, last = DecodedGroup({}, Counter(), [], []), 0, 0, ""
        for entry, event_id, fields in found:
            if group_bytes > MAX_BATCH_BYTES and entry.id != last:
                yield group
                group, group_bytes = DecodedGroup({}, Counter(), [], []), 0
            last = entry.id
            group.checks[entry.id] = len(checks[entry.id])
            if event_id in recorded:
                group.left[entry.id] += 1
                continue
            size = self._decode_into(group, entry.id, event_id, fields, killing.get(event_id), now_ms)
            group_bytes, all_bytes = group_bytes + size, all_bytes + size
        self._room.learn(len(found), all_bytes)
        group.checks.update({entry.id: 0 for entry in entries if not checks[entry.id]})
        yield group

    def _decode_into(
        self, group: DecodedGroup, todo_id: str, event_id: str, fields: Fields, killing: Exception | None, now_ms: int
    ) -> int:
        """Decode an event. Returns how large its body is, decompressed."""
        body = plain = fields.get(FIELD_BODY, b"")
        try:
            if not fields:
                raise DecodeError(Reason.BODY_MISSING, "its body is no longer in the inbox")
            if killing is not None:
                raise killing
            request = request_of(fields)
            plain = self._decoder.decompressed(body, request)
            event = self._decoder.decode(provider_of(fields), plain, event_id, request)
            group.claimed.append(ClaimedEvent(todo_id, event, body))
        except Exception as error:  # also a bug in a decoder: one event must not stop the others
            group.failed.append((todo_id, undecodable_failure(event_id, self._handler.name, fields, error, now_ms)))
        return len(plain)

    def _killing(self, events: Sequence[tuple[str, Fields]], deliveries: int) -> Mapping[str, Exception]:
        """Of a batch whose worker ended: the events that cannot be decoded without that, each with the error."""
        if deliveries == 1 or self._suspects is None:
            return {}
        raw = [isolated_event(event_id, fields) for event_id, fields in events if fields]
        return self._suspects.undecodable(self._handler.name, raw, deliveries)

    @property
    def _is_isolated(self) -> bool:
        """Whether every batch is applied in an isolated process: the handler has ended one lately, or may not take long."""
        return self._handler.timeout is not None or monotonic() < self._isolated_until

    def _isolated_run(self, deliveries: int) -> Callable[[Sequence[ClaimedEvent]], Applied] | None:
        """How to apply events in an isolated process, if it is not safe here, or may take too long."""
        suspects = self._suspects
        if suspects is None or (deliveries == 1 and not self._is_isolated):
            return None

        def run(claimed: Sequence[ClaimedEvent]) -> Applied:
            given = [(each.event, each.body) for each in claimed]
            if len(claimed) > 1:
                return suspects.apply(self._handler, given)
            field = f"{self._handler.name}:{claimed[0].event.event_id}"
            return suspects.alone(field, lambda: suspects.apply(self._handler, given))

        return run

    def _failure(self, claimed: ClaimedEvent, error: Exception, now_ms: int) -> Failure:
        if isinstance(error, KilledWorkerError):
            self._isolated_until = monotonic() + ISOLATED_SECONDS
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
