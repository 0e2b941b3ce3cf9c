"""Looks at Valkey from outside, twice a second: the oldest event that waits, and failures on record that nobody planted.

It reads the keys itself and uses none of the workers' code.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from schemas import keys
from schemas.failures import Failure, Reason, decode_failure
from tests.chaos.chaos_handlers import POISON
from tests.support.event_sums import BUILT_IN

HANDLERS = (*BUILT_IN, "chaos_patient", "chaos_urgent")
CHAOS_HANDLERS = HANDLERS[len(BUILT_IN) :]
KILLED_WORKER = "killed_worker"
_LOOK_SECONDS = 0.5


class Wait(NamedTuple):
    """The oldest event that waited in a stream `at` a time, and the `seconds` since its POST."""

    at: float
    seconds: float
    stream: str


class Blamed(NamedTuple):
    """A failure that was seen on record though nothing of it was planted."""

    at: float
    text: str


class Watch:
    """A thread that looks. `waits` and `blamed` are what it has seen."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.waits, self.blamed = list[Wait](), list[Blamed]()
        self._seen, self._stop = set[bytes](), threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                now = time.time()
                for stream, posted in oldest(self._client).items():
                    self.waits.append(Wait(now, max(0.0, now - posted / 1000), stream))
                self._look_for_blame(now)
            except redis.RedisError:
                continue

    def _look_for_blame(self, now: float) -> None:
        fields: Any = self._client.hkeys(keys.FAILURES)
        new = [field for field in fields if field not in self._seen]
        if not new:
            return
        records: Any = self._client.hmget(keys.FAILURES, new)
        for field, record in zip(new, records, strict=True):
            failure = decode_failure(record) if record else None
            if failure is None or failure.away:  # gone already; set aside, and not blamed while a dependency is away
                continue
            self._seen.add(field)
            if not is_planted(failure):
                self.blamed.append(Blamed(now, described(failure)))


def is_planted(failure: Failure) -> bool:
    """Whether a failure may be on record: of a bad body, of a part that cannot be read, of a handler that raises, of poison."""
    if failure.handler in keys.DISPATCH_NAMES:
        return failure.reason is not Reason.BODY_MISSING
    if failure.handler in CHAOS_HANDLERS:
        is_poison = failure.reason == KILLED_WORKER and POISON.encode() in failure.body
        return is_poison or "on purpose" in failure.message
    return failure.reason is Reason.WRONG_TYPE


def described(failure: Failure) -> str:
    """A failure in one line."""
    message = failure.message.partition("\n")[0][:120]
    state = f"{failure.state}, {failure.attempts} attempts, {failure.away} while away"
    return f"{failure.handler}: {failure.reason} ({state}): {message}"


def oldest(client: redis.Redis) -> dict[str, int]:
    """For each stream in which something waits, when the oldest event of it was posted, in epoch ms."""
    found = dict[str, int]()
    if (inbox := _oldest_in_inbox(client)) is not None:
        found[keys.DISPATCH] = inbox
    pipeline = client.pipeline(transaction=False)
    for handler in HANDLERS:
        pipeline.xrange(keys.todo(handler), "-", "+", 1)
    replies: Sequence[Any] = pipeline.execute()
    for handler, entries in zip(HANDLERS, replies, strict=True):
        for _, fields in entries:
            found[handler] = min(_milliseconds(each) for each in fields[keys.FIELD_EVENT].split())
    return found


def _oldest_in_inbox(client: redis.Redis) -> int | None:
    """The first entry that is pending, or else the first that nobody has read."""
    groups: Any = client.xinfo_groups(keys.INBOX) if client.exists(keys.INBOX) else []
    for group in groups:
        if group["name"] == keys.GROUP.encode():
            if group["pending"]:
                pending: Any = client.xpending(keys.INBOX, keys.GROUP)
                return _milliseconds(pending["min"]) if pending["min"] else None
            unread: Any = client.xrange(keys.INBOX, b"(" + group["last-delivered-id"], "+", 1)
            return _milliseconds(unread[0][0]) if unread else None
    first: Any = client.xrange(keys.INBOX, "-", "+", 1)
    return _milliseconds(first[0][0]) if first else None


def _milliseconds(event_id: bytes) -> int:
    return int(event_id.partition(b"-")[0])
