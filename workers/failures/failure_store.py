"""The failure store: a record of every failed event, with its raw body, until the event is applied.

It is in Valkey, because it must work while the database is unavailable. `retries` holds when each failure is retried. A Celery
message only starts the attempt: if the message is lost, the attempt starts after the lease. Every change compares the record
with the one that was read, so two operators, or an operator and a worker, never undo each other's change.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from redis import Redis

from schemas import keys
from schemas.events import Event
from schemas.failures import Failure, FailureState, Reason, decode_failure, encode_changed, read_failure
from schemas.keys import Counter
from schemas.request_context import NO_CONTEXT, encode_context
from workers.errors import FailureNotFoundError
from workers.valkey import scripts

LEASE_MS = 15_000
"""A retry without a result after this time is sent again."""
UNREADABLE_PAUSE_MS = 60_000
"""How long a record that this release cannot read waits: it must not block those that can be retried."""
MAX_IN_FLIGHT = 4
"""The most retries at once in a deployment: fewer than a worker's spare threads, so retries never block a queue."""

_NAMESPACE = uuid.UUID("6f1c7a52-7d0e-4c3e-9a54-0a5d2a6f7c11")
_KEYS = [keys.FAILURES, keys.RETRIES, keys.IN_FLIGHT, keys.COUNTERS]


def first_task_id(handler: str, event_id: str) -> str:
    """The id of the Celery task that retries an event, until an operator retries it."""
    return str(uuid.uuid5(_NAMESPACE, f"{handler}:{event_id}"))


def next_task_id(task_id: str) -> str:
    """The id of the task after an operator's retry. It is derived from the failed task's id: a double click is one retry."""
    return str(uuid.uuid5(_NAMESPACE, task_id))


class FailureStore:
    """The failures of a deployment. Safe to share between threads and processes."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._take, self._begin = scripts.load(client, "retry_take"), scripts.load(client, "retry_begin")
        self._change, self._applied = (scripts.load(client, "commit", name) for name in ("failure_change", "failure_applied"))
        self._decoded = scripts.load(client, "commit", "seen", "unrecognised", "failure_decoded")

    def get(self, handler: str, event_id: str) -> Failure:
        """Return one failure. Raises `FailureNotFoundError`."""
        return read_failure(f"{handler}:{event_id}", self._read(handler, event_id))

    def all(self) -> Iterator[Failure]:
        """Every failure once, unordered. HSCAN may return a field twice while the hash grows."""
        seen = set()
        for field, record in self._client.hscan_iter(keys.FAILURES, count=500):
            if field not in seen:
                seen.add(field)
                yield read_failure(field.decode(), record)

    def count(self) -> int:
        """The number of failures."""
        return int(self._client.hlen(keys.FAILURES))

    def take_due(self, now_ms: int) -> list[Failure]:
        """Lease the failures that are due, with at most `MAX_IN_FLIGHT` in flight. The caller sends a message for each."""
        due: Any = self._take([keys.RETRIES, keys.IN_FLIGHT], [now_ms, LEASE_MS, MAX_IN_FLIGHT])
        records: Any = self._client.hmget(keys.FAILURES, due) if due else []
        found = [read_failure(field.decode(), record) for field, record in zip(due, records, strict=True) if record is not None]
        for failure in found:
            if failure.reason is Reason.UNREADABLE_RECORD:
                self._postpone_unreadable(failure.field, now_ms)
        return [failure for failure in found if failure.reason is not Reason.UNREADABLE_RECORD]

    def _postpone_unreadable(self, field: str, now_ms: int) -> None:
        """Leave a record to a release that can read it."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.zadd(keys.RETRIES, {field: now_ms + UNREADABLE_PAUSE_MS})
        pipeline.zrem(keys.IN_FLIGHT, field)
        pipeline.execute()

    def begin(self, failure: Failure, now_ms: int) -> bool:
        """Begin the attempt of a leased failure, and lease it anew. False if it has no lease, or another attempt has begun."""
        return bool(self._begin([keys.IN_FLIGHT], [failure.field, now_ms, LEASE_MS]))

    def not_begun(self, failures: Sequence[Failure]) -> list[Failure]:
        """Those of the leased failures whose attempt has not begun."""
        if not failures:
            return []
        ends: Any = self._client.zmscore(keys.IN_FLIGHT, [failure.field for failure in failures])
        return [failure for failure, end in zip(failures, ends, strict=True) if end is not None and end.is_integer()]

    def renew(self, failure: Failure) -> None:
        """Renew the lease of a failure whose attempt has begun (`begin`: half a millisecond says so)."""
        self._client.zadd(keys.IN_FLIGHT, {failure.field: int(time.time() * 1000) + LEASE_MS + 0.5}, xx=True)

    def retry(self, handler: str, event_id: str, now_ms: int, of_task: str | None = None) -> Failure:
        """Retry a dead or discarded failure at once, as a new task. Raises `FailureNotFoundError`.

        `of_task`: retry only if this is the failed task's id. A second click on the same task then changes nothing.
        """

        def retried(failure: Failure) -> Failure:
            if failure.state is FailureState.RETRYING and of_task is None:
                return msgspec.structs.replace(failure, next_at_ms=now_ms)
            if failure.state is FailureState.RETRYING or (of_task is not None and failure.task_id != of_task):
                raise FailureNotFoundError(f"{failure.field} is being retried already, as task {failure.task_id}")
            return msgspec.structs.replace(
                failure,
                state=FailureState.RETRYING,
                attempts=0,
                away=0,
                next_at_ms=now_ms,
                note="",
                task_id=next_task_id(failure.task_id or first_task_id(handler, event_id)),
            )

        return self._update(handler, event_id, retried)

    def discard(self, handler: str, event_id: str, note: str) -> Failure:
        """Discard a failure, with a note. The record stays, and `retry` undoes this. Raises `FailureNotFoundError`."""

        def discarded(failure: Failure) -> Failure:
            if failure.state is FailureState.DISCARDED:
                raise FailureNotFoundError(f"{failure.field} is discarded already")
            return msgspec.structs.replace(failure, state=FailureState.DISCARDED, note=note, next_at_ms=0)

        return self._update(handler, event_id, discarded)

    def record_attempt(self, failure: Failure, changed: Failure) -> bool:
        """Store the record after a failed attempt. False if an operator has changed it meanwhile: that change stays."""
        try:
            record = self._read(failure.handler, failure.event_id)
        except FailureNotFoundError:
            return False
        return self._decode(failure.field, record) == failure and self._replace(record, failure, changed)

    def resolve(self, failure: Failure) -> bool:
        """Remove the record after a committed attempt, whatever its state is now. False if there is none."""

        def remove(record: bytes, now: Failure) -> bool:
            was_discarded = now.state is FailureState.DISCARDED
            return bool(self._applied(_KEYS, [failure.field, record, failure.handler, int(was_discarded)]))

        return self._remove(failure, remove)

    def resolve_decoded(
        self, failure: Failure, event: Event, handlers: Sequence[str], seen_ms: int, unrecognised_name: str = ""
    ) -> bool:
        """Remove the record of a body that can now be decoded, and route the event to these handlers unless it is a duplicate.

        False if an operator has discarded it meanwhile, or if there is no record.
        """
        streams = [keys.UNRECOGNISED, *map(keys.todo, handlers)]

        def remove(record: bytes, now: Failure) -> bool:
            if now.state is FailureState.DISCARDED:
                raise FailureNotFoundError(f"{failure.field} is discarded")
            args: list[Any] = [failure.field, record, failure.event_id, event.identity, keys.SEEN_PREFIX, seen_ms]
            request = b"" if failure.request is NO_CONTEXT else encode_context(failure.request)
            args += (failure.provider, failure.body, request, unrecognised_name)
            return bool(self._decoded([*_KEYS, *streams], [*args, *handlers]))

        return self._remove(failure, remove)

    def _remove(self, failure: Failure, remove: Callable[[bytes, Failure], bool]) -> bool:
        """Call `remove` with the record until it succeeds: it returns False if the record has changed since it was read."""
        try:
            while not remove(record := self._read(failure.handler, failure.event_id), self._decode(failure.field, record)):
                pass
        except FailureNotFoundError:
            return False
        return True

    def _update(self, handler: str, event_id: str, change: Callable[[Failure], Failure]) -> Failure:
        while True:
            record = self._read(handler, event_id)
            before = self._decode(f"{handler}:{event_id}", record)
            after = change(before)
            if self._replace(record, before, after):
                return after

    def _replace(self, record: bytes, before: Failure, after: Failure) -> bool:
        is_settled = after.state in (FailureState.DEAD, FailureState.DISCARDED)  # a newer release may have states of its own
        due: int | str = "" if is_settled else after.next_at_ms or ""
        discarded = (after.state is FailureState.DISCARDED) - (before.state is FailureState.DISCARDED)
        new = encode_changed(record, before, after)
        args: list[Any] = [before.field, record, new, due, discarded, Counter.discarded(before.handler)]
        return bool(self._change(_KEYS, args))

    def _decode(self, field: str, record: bytes) -> Failure:
        """The record, to be changed. Raises `FailureNotFoundError` if this release cannot read it."""
        try:
            return decode_failure(record)
        except msgspec.DecodeError as error:
            raise FailureNotFoundError(f"{field} was written by another release, and this one cannot read it") from error

    def _read(self, handler: str, event_id: str) -> bytes:
        """The record, under either of the dispatcher's names. Raises `FailureNotFoundError`."""
        for name in keys.names_of_handler(handler):
            record: Any = self._client.hget(keys.FAILURES, f"{name}:{event_id}")
            if record is not None:
                return bytes(record)
        raise FailureNotFoundError(f"{handler}:{event_id} has not failed, or has been applied since")
