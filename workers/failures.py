"""The record of failures: every event that a stage could not handle, with its bytes, until it is applied or discarded.

It lives in Valkey, since it must work while the database is what failed. `retries` holds when each is to be tried again; a Celery
message only carries the moment, so losing it costs a lease. Every change compares with what was read: two operators, or an operator
and a worker, never undo each other.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from redis import Redis

from schemas import keys
from schemas.events import Event
from schemas.failures import Failure, FailureState, decode_failure, encode_failure
from schemas.keys import Counter
from schemas.request_context import NO_CONTEXT, encode_context
from workers import scripts

LEASE_MS = 15_000
"""A retry whose end nobody has heard of for so long is sent again."""
MAX_IN_FLIGHT = 4
"""Retries at work at once in a whole deployment: fewer than the workers' spare threads, so that no lane waits for a retry."""

_NAMESPACE = uuid.UUID("6f1c7a52-7d0e-4c3e-9a54-0a5d2a6f7c11")
_KEYS = [keys.FAILURES, keys.RETRIES, keys.IN_FLIGHT, keys.COUNTERS]


class NotFailed(Exception):  # noqa: N818 - reads as what it says
    """There is no such failure, or it is not in the state that was expected. `str()` says which."""


def first_task_id(handler: str, event_id: str) -> str:
    """The id of the Celery task that tries an event again, before a person has asked for it."""
    return str(uuid.uuid5(_NAMESPACE, f"{handler}:{event_id}"))


def next_task_id(task_id: str) -> str:
    """The id of the task that a person's retry of a failed one is: a function of it, so that a double click is one retry."""
    return str(uuid.uuid5(_NAMESPACE, task_id))


class Failures:
    """The record. Safe to share between threads and processes."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._take, self._change, self._applied = (
            scripts.load(client, name) for name in ("retry_take", "failure_change", "failure_applied")
        )
        self._decoded = scripts.load(client, "seen", "failure_decoded")

    def get(self, handler: str, event_id: str) -> Failure:
        """One failure. Raises `NotFailed`."""
        return decode_failure(self._read(f"{handler}:{event_id}"))

    def all(self) -> Iterator[Failure]:
        """Every failure on record, in no order, each once: Valkey may show one twice while its table grows."""
        seen = set()
        for field, record in self._client.hscan_iter(keys.FAILURES, count=500):
            if field not in seen:
                seen.add(field)
                yield decode_failure(record)

    def count(self) -> int:
        """How many there are."""
        return int(self._client.hlen(keys.FAILURES))

    def take_due(self, now_ms: int) -> list[Failure]:
        """Those to be tried now, as far as there is room; each is leased to the message that the caller sends."""
        due: Any = self._take([keys.RETRIES, keys.IN_FLIGHT], [now_ms, LEASE_MS, MAX_IN_FLIGHT])
        records: Any = self._client.hmget(keys.FAILURES, due) if due else []
        return [decode_failure(record) for record in records if record is not None]

    def is_in_flight(self, failure: Failure) -> bool:
        """Whether a message to try it is expected; one that comes late, after the event was dealt with, is not."""
        return self._client.zscore(keys.IN_FLIGHT, failure.field) is not None

    def revive(self, handler: str, event_id: str, now_ms: int, of_task: str | None = None) -> Failure:
        """Have a dead or discarded failure tried again, as a new task. Raises `NotFailed`.

        `of_task`: only if that task is what failed, so that a second click on one failed task changes nothing.
        """

        def revived(failure: Failure) -> Failure:
            if failure.state is FailureState.RETRYING and of_task is None:
                return msgspec.structs.replace(failure, next_at_ms=now_ms)
            if failure.state is FailureState.RETRYING or (of_task is not None and failure.task_id != of_task):
                raise NotFailed(f"{failure.field} is being retried already, as task {failure.task_id}")
            return msgspec.structs.replace(
                failure,
                state=FailureState.RETRYING,
                attempts=0,
                away=0,
                next_at_ms=now_ms,
                note="",
                task_id=next_task_id(failure.task_id or first_task_id(handler, event_id)),
            )

        return self._update(handler, event_id, revived)

    def discard(self, handler: str, event_id: str, note: str) -> Failure:
        """Decide that it is not to be applied. The record stays, with the note, and `revive` brings it back. Raises `NotFailed`."""

        def discarded(failure: Failure) -> Failure:
            if failure.state is FailureState.DISCARDED:
                raise NotFailed(f"{failure.field} is discarded already")
            return msgspec.structs.replace(failure, state=FailureState.DISCARDED, note=note, next_at_ms=0)

        return self._update(handler, event_id, discarded)

    def again(self, failure: Failure, changed: Failure) -> bool:
        """A try has failed: keep the new record, and when it is to be tried next. A person's decision meanwhile wins: then False."""
        try:
            record = self._read(failure.field)
        except NotFailed:
            return False
        return decode_failure(record) == failure and self._replace(record, failure, changed)

    def applied(self, failure: Failure) -> bool:
        """A try has succeeded, and its effects are committed: the record goes, whatever was decided meanwhile. False if it is gone."""

        def gone(record: bytes, now: Failure) -> bool:
            was_discarded = now.state is FailureState.DISCARDED
            return bool(self._applied(_KEYS, [failure.field, record, failure.handler, int(was_discarded)]))

        return self._let_go(failure.field, gone)

    def decoded(
        self, failure: Failure, event: Event, handlers: Sequence[str], seen_ms: int, unrecognised_name: str = ""
    ) -> bool:
        """A body could be decoded at last: route it to these handlers, if it is no duplicate. False if it was discarded meanwhile."""
        streams = [keys.UNRECOGNISED, *map(keys.todo, handlers)]

        def gone(record: bytes, now: Failure) -> bool:
            if now.state is FailureState.DISCARDED:
                raise NotFailed(f"{failure.field} is discarded")
            args: list[Any] = [failure.field, record, failure.event_id, event.identity, keys.SEEN_PREFIX, seen_ms]
            request = b"" if failure.request is NO_CONTEXT else encode_context(failure.request)
            args += (failure.provider, failure.body, request, unrecognised_name)
            return bool(self._decoded([*_KEYS, *streams], [*args, *handlers]))

        return self._let_go(failure.field, gone)

    def _let_go(self, field: str, gone: Callable[[bytes, Failure], bool]) -> bool:
        """Remove a record by `gone`, which says False if it was changed since it was read: then look again."""
        try:
            while not gone(record := self._read(field), decode_failure(record)):
                pass
        except NotFailed:
            return False
        return True

    def _update(self, handler: str, event_id: str, change: Callable[[Failure], Failure]) -> Failure:
        while True:
            record = self._read(f"{handler}:{event_id}")
            before = decode_failure(record)
            after = change(before)
            if self._replace(record, before, after):
                return after

    def _replace(self, record: bytes, before: Failure, after: Failure) -> bool:
        due: int | str = after.next_at_ms if after.state is FailureState.RETRYING else ""
        discarded = (after.state is FailureState.DISCARDED) - (before.state is FailureState.DISCARDED)
        args: list[Any] = [before.field, record, encode_failure(after), due, discarded, Counter.discarded(before.handler)]
        return bool(self._change(_KEYS, args))

    def _read(self, field: str) -> bytes:
        record: Any = self._client.hget(keys.FAILURES, field)
        if record is None:
            raise NotFailed(f"{field} has not failed, or has been applied since")
        return bytes(record)
