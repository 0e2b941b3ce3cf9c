"""Every Valkey command of the workers that changes state. The data model is in `schemas.keys`; the scripts say what each
commit does, in `workers/scripts/*.lua`.

Why scripts and not WATCH/MULTI/EXEC: the outcome of an entry may be counted only if the same step acknowledged it, which MULTI
cannot ask; one round trip in place of three; and drains side by side never have to start over.

Owns the shapes of replies too: RESP2 is asked for, since redis-py gives stream replies another shape under RESP3.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from schemas import keys
from schemas.failures import Failure, FailureState, encode_failure
from workers import scripts
from workers.entries import BATCH, Batch, Entry, Fields, entries_of, pairs_of

SOCKET_TIMEOUT_SECONDS = 10.0
"""Longer than any blocking read below."""
BELL_MS = 1_000

UNAVAILABLE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
)
"""Valkey is away, does not answer, or takes no writes: the world's fault, nobody's event."""


class Routed(NamedTuple):
    """One decoded entry: where it goes (places of handlers, from 1) and its name if we do not know it."""

    event_id: str
    identity: str
    routes: bytes
    unrecognised_name: str = ""


def connect(redis_url: str) -> redis.Redis:
    """Connect to Valkey as workers need it. A command is never repeated behind our back: a commit may have happened."""
    return redis.Redis.from_url(
        redis_url,
        protocol=2,
        decode_responses=False,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=2.0,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )


class Store:
    """The workers' Valkey. Safe to share between threads."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._taken_over: bytes | None = None
        self._route = scripts.load(client, "seen", "route")
        self._settle, self._bodies, self._ring = (scripts.load(client, name) for name in ("settle", "bodies", "ring"))

    def ensure_groups(self, streams: Sequence[str]) -> None:
        """Create the consumer groups that are missing, at 0: what was appended before is theirs too."""
        for stream in streams:
            try:
                self.client.xgroup_create(stream, keys.GROUP, id="0", mkstream=True)
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    def read(self, stream: str, consumer: str, count: int, block_ms: int | None = None) -> Batch:
        """Take up to `count` new entries; waits for one up to `block_ms`, or not at all."""
        known = self._taken_over
        batch = self._read(stream, consumer, ">", count, block_ms)
        batch.taken_over = known
        return batch

    def read_own(self, stream: str, consumer: str, after: str, count: int) -> Batch:
        """Take entries again that this consumer took and never finished, after the given id (`0` for the first)."""
        return self._read(stream, consumer, after, count, None)

    def _read(self, stream: str, consumer: str, after: str, count: int, block_ms: int | None) -> Batch:
        block = () if block_ms is None else ("BLOCK", block_ms)
        reply: Any = self._raw("XREADGROUP", "GROUP", keys.GROUP, consumer, "COUNT", count, *block, "STREAMS", stream, after)
        return Batch(entries_of(reply[0][1]) if reply else ())

    def _raw(self, command: str, *args: str | int) -> Any:
        """A command whose reply redis-py leaves to us, since it does not know its name in bytes: its own reading costs tenfold."""
        return self.client.execute_command(command.encode(), *args)  # type: ignore[no-untyped-call]

    def claim(self, stream: str, consumer: str, idle_ms: int, count: int) -> Batch:
        """Take over entries whose consumer has been silent for `idle_ms`."""
        reply: Any = self._raw("XAUTOCLAIM", stream, keys.GROUP, consumer, idle_ms, "0-0", "COUNT", count)
        return Batch(entries_of(reply[1]))

    def route(
        self,
        handlers: Sequence[str],
        decoded: Sequence[Routed],
        undecodable: Sequence[Failure],
        seen_ms: int,
        taken_over: bytes | None = None,
    ) -> list[str]:
        """The drain's commit point; `taken_over` is that of the batch. Returns the handlers whose doorbell must be rung."""
        of_handlers = [key for name in handlers for key in (keys.todo(name), keys.bell(name), keys.linger(name))]
        routes = list(dict.fromkeys(each.routes for each in decoded))
        place = {route: number for number, route in enumerate(routes, 1)}
        unknown = [(number, each.unrecognised_name) for number, each in enumerate(decoded, 1) if each.unrecognised_name]
        args: list[Any] = [keys.GROUP, keys.SEEN_PREFIX, seen_ms, BELL_MS, BATCH, taken_over or b""]
        args += (len(handlers), *handlers, len(routes), *routes, len(decoded))
        args += [each.event_id for each in decoded]
        args += [each.identity for each in decoded]
        args += (bytes([place[each.routes] for each in decoded]), len(unknown))
        args += [part for pair in unknown for part in pair]
        args += [part for failure in undecodable for part in (failure.event_id, encode_failure(failure))]
        names = [keys.INBOX, keys.COUNTERS, keys.FAILURES, keys.UNRECOGNISED, keys.TAKEN_OVER, *of_handlers]
        reply: Any = self._route(names, args)
        self._taken_over = reply[0]
        return [handlers[number - 1] for number in reply[1]]

    def settle(
        self, handler: str, done: Iterable[tuple[str, int, Sequence[Failure]]], outbox_due_ms: int | None = None
    ) -> None:
        """A handler's commit point in Valkey, strictly after the one in SQL; it does what `outbox_due` does as well.

        `done`: of each claim check its todo id, how many events it names, and those of them that failed.
        """
        args: list[Any] = [keys.GROUP, handler, "" if outbox_due_ms is None else outbox_due_ms]
        for todo_id, events, failed in done:
            args += (todo_id, events, len(failed))
            for failure in failed:
                due = failure.next_at_ms if failure.state is FailureState.RETRYING else ""
                args += (failure.field, encode_failure(failure), due)
        self._settle([keys.todo(handler), keys.COUNTERS, keys.FAILURES, keys.RETRIES, keys.OUTBOX], args)

    def bodies(self, checks: Iterable[Sequence[str]], *, near: bool) -> dict[str, Fields]:
        """The inbox entries of the events that claim checks name, without those that are gone.

        `near`: those of a check lie close together in the inbox, so that all from the first to the last are read.
        """
        checks = [ids for ids in checks if ids]
        found: dict[str, Fields] = {}
        if near and checks:
            pipeline = self.client.pipeline(transaction=False)
            for ids in checks:
                pipeline.execute_command(b"XRANGE", keys.INBOX, ids[0], ids[-1], "COUNT", 2 * len(ids))  # type: ignore[no-untyped-call]
            found = dict(entry for reply in pipeline.execute() for entry in entries_of(reply))
        if missing := [event_id for ids in checks for event_id in ids if event_id not in found]:
            reply: Any = self._bodies([keys.INBOX], missing)
            found |= {event_id: pairs_of(fields) for event_id, fields in zip(missing, reply, strict=True) if fields}
        return found

    def lanes_to_ring(self, lanes: Sequence[str]) -> list[str]:
        """Which lanes need a doorbell; from now on each of them counts as rung."""
        if not lanes:
            return []
        reply: Any = self._ring([key for lane in lanes for key in (keys.linger(lane), keys.bell(lane))], [BELL_MS])
        return [lanes[place - 1] for place in reply]

    def try_ring(self, lane: str, once_in_ms: int = BELL_MS) -> bool:
        """Whether a doorbell may be sent although a task lingers: only one in a while."""
        return bool(self.client.set(keys.bell(lane), 1, nx=True, px=once_in_ms))

    def answer_bell(self, lane: str) -> None:
        """A task has begun: a ring from now on is a new one."""
        self.client.delete(keys.bell(lane))

    def linger(self, lane: str, owner: str, lifetime_ms: int) -> bool:
        """Put up, or keep up, the sign that a task waits on the lane's stream; False if another task's is up."""
        first: Any = self.client.set(keys.linger(lane), owner, nx=True, get=True, px=lifetime_ms)
        if first is None:
            return True
        if first.decode() != owner:
            return False
        self.client.pexpire(keys.linger(lane), lifetime_ms)
        return True

    def stop_lingering(self, lane: str, owner: str) -> None:
        """Take the sign down. Between the look and the removal another may put up its own: that costs a doorbell."""
        sign: Any = self.client.get(keys.linger(lane))
        if sign is not None and sign.decode() == owner:
            self.client.delete(keys.linger(lane))

    def note_unreachable(self, lane: str, what: str) -> None:
        """Say for `curbside status` what a lane cannot reach."""
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hset(keys.UNREACHABLE, lane, what)
        pipeline.expire(keys.UNREACHABLE, 600)
        pipeline.execute()

    def note_reachable(self, lane: str) -> None:
        """Take that back."""
        self.client.hdel(keys.UNREACHABLE, lane)

    def outbox_due(self, at_ms: int) -> None:
        """Remember that an alert may be due then, unless one is due sooner."""
        self.client.zadd(keys.OUTBOX, {"due": at_ms}, lt=True)

    def outbox_done(self) -> None:
        """Forget it; whoever finds another alert says so again."""
        self.client.delete(keys.OUTBOX)

    def backlog(self, streams: Sequence[str], idle_ms: int) -> list[bool]:
        """For each stream, whether entries wait that nobody has taken, or that somebody took and never finished."""
        pipeline = self.client.pipeline(transaction=False)
        for stream in streams:
            pipeline.xinfo_groups(stream)
            pipeline.xpending_range(stream, keys.GROUP, "-", "+", 1, idle=idle_ms)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        return [_is_waiting(groups, stale) for groups, stale in zip(replies[::2], replies[1::2], strict=True)]

    def outbox_due_at(self) -> int | None:
        """When an alert is due, in epoch milliseconds; None if none waits."""
        due: Any = self.client.zscore(keys.OUTBOX, "due")
        return None if due is None else int(due)

    def oldest_unacknowledged(self, stream: str) -> str | None:
        """An id that no unacknowledged entry is older than: of the oldest in hand, or of the last one taken. None without a group."""
        pipeline = self.client.pipeline(transaction=True)
        pipeline.xpending(stream, keys.GROUP)
        pipeline.xinfo_groups(stream)
        pending, groups = pipeline.execute()
        if pending["min"] is not None:
            return str(pending["min"].decode())
        delivered = next((group["last-delivered-id"] for group in groups if group["name"] == keys.GROUP.encode()), None)
        return None if delivered is None else str(delivered.decode())

    def page(self, stream: str, start: str, count: int, last: str = "+") -> list[Entry]:
        """Entries of a stream from an id on, without taking them."""
        return entries_of(self._raw("XRANGE", stream, start, last, "COUNT", count))

    def trim_inbox(self, first_kept: str) -> None:
        """Let go of what is older. Approximately: Valkey drops whole nodes, which costs next to nothing."""
        self.client.xtrim(keys.INBOX, minid=first_kept, approximate=True, limit=100_000)

    def forget_consumers(self, stream: str, idle_ms: int) -> None:
        """Remove consumers that are silent for long and hold nothing."""
        consumers: Any = self.client.xinfo_consumers(stream, keys.GROUP)
        for consumer in consumers:
            if consumer["pending"] == 0 and consumer["idle"] > idle_ms:
                self.client.xgroup_delconsumer(stream, keys.GROUP, consumer["name"])


def _is_waiting(groups: Any, stale: Any) -> bool:
    if isinstance(groups, redis.ResponseError):  # no stream yet
        return False
    if isinstance(groups, Exception):
        raise groups
    group = next((each for each in groups if each["name"] == keys.GROUP.encode()), None)
    return group is None or group["lag"] is None or group["lag"] > 0 or (isinstance(stale, list) and bool(stale))
