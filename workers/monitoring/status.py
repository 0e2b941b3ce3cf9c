"""The status of a deployment: one snapshot of all counts, taken in one transaction, and the two sums that always hold.

`received = duplicate + routed + undecodable + waiting`, and for each handler `routed = applied + failed + waiting`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from redis import Redis, ResponseError
from redis.exceptions import OutOfMemoryError

from schemas import keys
from schemas.keys import Counter
from schemas.stream_groups import GroupState, group_state
from workers.errors import DependencyUnavailableError
from workers.ledger.inbox_marks import Loss
from workers.ledger.ledger import Ledger
from workers.monitoring.inbox_losses import read_losses
from workers.monitoring.outages import read_outages, read_stale
from workers.monitoring.outbox_status import OutboxStatus, read_outbox
from workers.monitoring.refusals import RefusedStatus, read_refused
from workers.valkey.backlog import count_unread
from workers.valkey.connection import UNAVAILABLE, cause_of
from workers.valkey.handler_names import handlers_on_record

MAX_PENDING_CHECKS = 1_000
"""The most pending claim checks that are read to compute a handler's lag."""


class InboxStatus(msgspec.Struct, frozen=True):
    """The inbox. `waiting` is the sum of `lag` (not yet read) and pending. The age is None if nothing waits."""

    received: int
    duplicate: int
    routed: int
    undecodable: int
    waiting: int
    lag: int
    oldest_age_seconds: float | None
    unrecognised: int
    unrecognised_names: dict[str, int]
    reappended: int = 0
    """Of `received`: what Valkey had lost and an ingress appended again."""

    @property
    def balanced(self) -> bool:
        """Whether every received event has exactly one outcome."""
        return self.received == self.duplicate + self.routed + self.undecodable + self.waiting


class HandlerStatus(msgspec.Struct, frozen=True):
    """One handler's events. `waiting` is the sum of `lag` (not yet read) and pending. `known`: whether it is one of this process."""

    routed: int
    applied: int
    failed: int
    waiting: int
    lag: int
    oldest_age_seconds: float | None
    known: bool = True

    @property
    def balanced(self) -> bool:
        """Whether every routed event has exactly one outcome."""
        return self.routed == self.applied + self.failed + self.waiting


class Status(msgspec.Struct, frozen=True):
    """A whole deployment. `outbox` is None if the ledger cannot be read; `unreachable` then has the cause.

    `unreachable_since`: since when, as far as workers have recorded it.
    `trimmed_early_to`: events received before then left the inbox early, since Valkey was nearly full.
    """

    at: datetime
    balanced: bool
    inbox: InboxStatus
    handlers: dict[str, HandlerStatus]
    failures: int
    outbox: OutboxStatus | None
    unreachable: dict[str, str]
    refused: list[RefusedStatus]
    unreachable_since: dict[str, datetime] = {}
    losses: list[Loss] = []
    """Losses of acknowledged events that nobody has confirmed."""
    trimmed_early_to: datetime | None = None


def read_streams(
    client: Redis, handlers: Sequence[str], now: datetime
) -> tuple[InboxStatus, dict[str, HandlerStatus], int, dict[str, str]]:
    """The part of the status that Valkey has: inbox, handlers, number of failures, what each queue cannot reach.

    `handlers`: those that this process knows. Others that events were routed to are part of the status, and of the sums.
    """
    known, handlers = set(handlers), handlers_on_record(client, handlers)
    streams = [keys.INBOX, *map(keys.todo, handlers)]
    try:
        replies = _read(client, streams, is_atomic=True)
    except OutOfMemoryError:  # Redis 7.0 refuses every transaction while it is full
        replies = _read(client, streams, is_atomic=False)
    counters, unknown, unreachable, failures, *replies = answered(replies)
    count = {name.decode(): int(value) for name, value in counters.items()}
    settled = sum(count.get(name, 0) for name in (Counter.DUPLICATE, Counter.ROUTED, Counter.UNDECODABLE))
    inbox, *todo = [_Stream(*replies[at : at + 3]) for at in range(0, len(replies), 3)]
    unread = count_unread(client, keys.INBOX, inbox.group, settled) if inbox.group else 0
    inbox_status = InboxStatus(
        received=inbox.group.added if inbox.group else 0,
        duplicate=count.get(Counter.DUPLICATE, 0),
        routed=count.get(Counter.ROUTED, 0),
        undecodable=count.get(Counter.UNDECODABLE, 0),
        waiting=unread + (inbox.group.pending if inbox.group else 0),
        lag=unread,
        oldest_age_seconds=_age(_oldest_in_inbox(client, inbox, unread), now),
        unrecognised=count.get(Counter.UNRECOGNISED, 0),
        reappended=count.get(Counter.REAPPENDED, 0),
        unrecognised_names={name.decode(): int(value) for name, value in sorted(unknown.items())},
    )
    by_handler = {
        name: HandlerStatus(
            routed=count.get(Counter.routed(name), 0),
            applied=count.get(Counter.applied(name), 0),
            failed=count.get(Counter.failed(name), 0),
            waiting=count.get(Counter.waiting(name), 0),
            lag=max(0, count.get(Counter.waiting(name), 0) - pending),
            oldest_age_seconds=_age(stream.first_id, now),
            known=name in known,
        )
        for name, stream, pending in zip(handlers, todo, _pending_events(client, handlers), strict=True)
    }
    return inbox_status, by_handler, failures, {name.decode(): what.decode() for name, what in unreachable.items()}


def answered(replies: Sequence[Any]) -> Sequence[Any]:
    """The replies of a pipeline. Raises the first that says that Valkey is unavailable: it is no missing stream."""
    for reply in replies:
        if isinstance(reply, UNAVAILABLE):
            raise reply
    return replies


def _refuses_writes(client: Redis) -> dict[str, str]:
    """What `curbside status` says of a Valkey that answers questions and takes no events."""
    try:
        client.set(keys.READY, 1, px=1_000)
    except UNAVAILABLE as error:
        return {"every write": f"Valkey ({cause_of(error)})"}
    return {}


def _read(client: Redis, streams: Sequence[str], *, is_atomic: bool) -> list[Any]:
    """Counters, unrecognised names, unreachable dependencies, the number of failures, and three replies for each stream."""
    pipeline = client.pipeline(transaction=is_atomic)
    for key in (keys.COUNTERS, keys.UNRECOGNISED, keys.UNREACHABLE):
        pipeline.hgetall(key)
    pipeline.hlen(keys.FAILURES)
    for stream in streams:
        pipeline.xinfo_stream(stream)
        pipeline.xinfo_groups(stream)
        pipeline.xpending(stream, keys.GROUP)
    return pipeline.execute(raise_on_error=False)


class _Stream:
    """A stream as XINFO and XPENDING describe it; empty if it does not exist yet."""

    def __init__(self, info: Any, groups: Any, pending: Any) -> None:
        for reply in (info, groups, pending):
            if isinstance(reply, Exception) and not isinstance(reply, ResponseError):
                raise reply
        first = info.get("first-entry") if isinstance(info, dict) else None
        self.first_id: str | None = first[0].decode() if first else None
        self.group: GroupState | None = group_state(info, groups, keys.GROUP) if isinstance(info, dict) else None
        self.first_pending: str | None = pending["min"].decode() if isinstance(pending, dict) and pending["min"] else None


def _pending_events(client: Redis, handlers: Sequence[str]) -> list[int]:
    """For each handler, how many events its pending claim checks name. Read slightly after the snapshot."""
    pipeline = client.pipeline(transaction=False)
    for name in handlers:
        pipeline.xpending_range(keys.todo(name), keys.GROUP, "-", "+", MAX_PENDING_CHECKS)
    pending: list[Any] = pipeline.execute(raise_on_error=False)
    for name, entries in zip(handlers, pending, strict=True):
        for entry in entries if isinstance(entries, list) else ():
            pipeline.xrange(keys.todo(name), entry["message_id"], entry["message_id"])
    found = iter(pipeline.execute())
    return [
        sum(len(fields[keys.FIELD_EVENT].split()) for _ in entries for _, fields in next(found))
        if isinstance(entries, list)
        else 0
        for entries in pending
    ]


def _oldest_in_inbox(client: Redis, inbox: _Stream, unread: int) -> str | None:
    """The oldest event not yet routed: the first pending one, or else the first unread one."""
    if inbox.first_pending or not unread or inbox.group is None:
        return inbox.first_pending
    entries: Any = client.xrange(keys.INBOX, f"({inbox.group.delivered[0]}-{inbox.group.delivered[1]}", "+", count=1)
    return entries[0][0].decode() if entries else None


def _age(stream_id: str | None, now: datetime) -> float | None:
    if stream_id is None:
        return None
    return max(0.0, round(now.timestamp() - int(stream_id.partition("-")[0]) / 1000, 3))


def read_status(client: Redis, ledger: Ledger, handlers: Sequence[str]) -> Status:
    """The status now. Raises the client's errors if Valkey is unavailable; an unavailable ledger is part of the status."""
    now = datetime.now(UTC)
    inbox, by_handler, failures, unreachable = read_streams(client, handlers, now)
    stale = read_stale(client, now)
    unreachable = _refuses_writes(client) | {queue: what for queue, what in unreachable.items() if queue not in stale}
    alerts: OutboxStatus | None = None
    losses: list[Loss] = []
    try:
        alerts = read_outbox(ledger, now)
        losses = [each for each in read_losses(client, ledger, now) if each.confirmed_at is None]
    except DependencyUnavailableError as error:
        unreachable = {"status": str(error), **unreachable}
    balanced = inbox.balanced and all(each.balanced for each in by_handler.values())
    since = {queue: at for queue, at in read_outages(client).items() if queue in unreachable}
    early: Any = client.get(keys.TRIMMED_EARLY)
    early_to = None if early is None else datetime.fromtimestamp(int(early) / 1000, UTC)
    refused = read_refused(client, now)
    return Status(now, balanced, inbox, by_handler, failures, alerts, unreachable, refused, since, losses, early_to)
