"""Every Valkey command of the workers that changes a stream, a notification or a flag. `schemas.keys` documents the data model.

The commit points are Lua scripts (`workers/valkey/scripts/`), not WATCH/MULTI/EXEC: an outcome may be counted only if the same
step acknowledged the entry, which MULTI cannot check. A script is also one round trip instead of three, and concurrent
dispatchers never have to start over.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import redis

from schemas import keys
from schemas.failures import Failure, FailureState, encode_failure
from schemas.processes import NOTIFY_INTERVAL_MS
from workers.valkey import scripts
from workers.valkey.entries import BATCH, Batch, Entry, Fields, entries_of, pairs_of


class Routed(NamedTuple):
    """A decoded entry: its route (places of handlers, from 1), and the event's name if it is unrecognised."""

    event_id: str
    identity: str
    routes: bytes
    unrecognised_name: str = ""


class Store:
    """The workers' Valkey. Safe to share between threads."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._taken_over: bytes | None = None
        self._route = scripts.load(client, "commit", "seen", "unrecognised", "route")
        self._ack_batch = scripts.load(client, "commit", "ack_batch")
        self._bodies, self._notify = (scripts.load(client, name) for name in ("bodies", "notify"))
        self._finish, self._orphans = (scripts.load(client, "commit", name) for name in ("finish", "orphans"))
        self._idle_consumers = scripts.load(client, "idle_consumers")

    def ensure_groups(self, streams: Sequence[str]) -> None:
        """Create the missing consumer groups at 0, so that they also read what was appended before."""
        for stream in streams:
            try:
                self.client.xgroup_create(stream, keys.GROUP, id="0", mkstream=True)
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    def read(self, stream: str, consumer: str, count: int, block_ms: int | None = None) -> Batch:
        """Read up to `count` new entries. Waits up to `block_ms` for one, or not at all."""
        known = self._taken_over
        batch = self._read(stream, consumer, ">", count, block_ms)
        batch.taken_over = known
        return batch

    def read_own(self, stream: str, consumer: str, after: str, count: int) -> Batch:
        """Read this consumer's pending entries again, after the given id (`0`: from the first)."""
        return self._read(stream, consumer, after, count, None)

    def _read(self, stream: str, consumer: str, after: str, count: int, block_ms: int | None) -> Batch:
        block = () if block_ms is None else ("BLOCK", block_ms)
        reply: Any = self._raw("XREADGROUP", "GROUP", keys.GROUP, consumer, "COUNT", count, *block, "STREAMS", stream, after)
        batch = Batch(entries_of(reply[0][1]) if reply else ())
        batch.consumer = consumer
        return batch

    def _raw(self, command: str, *args: str | int) -> Any:
        """Run a command without redis-py's reply parser, which takes ten times as long: a command name in bytes has none."""
        return self.client.execute_command(command.encode(), *args)  # type: ignore[no-untyped-call]

    def claim(self, stream: str, consumer: str, idle_ms: int, count: int) -> Batch:
        """Take over entries whose consumer has been silent for `idle_ms`."""
        reply: Any = self._raw("XAUTOCLAIM", stream, keys.GROUP, consumer, idle_ms, "0-0", "COUNT", count)
        batch = Batch(entries_of(reply[1]))
        batch.consumer = consumer
        return batch

    def route(
        self,
        handlers: Sequence[str],
        decoded: Sequence[Routed],
        undecodable: Sequence[Failure],
        seen_ms: int,
        batch: Batch | None = None,
    ) -> list[str]:
        """The dispatcher's commit point. `batch` is what was read. Returns the handlers to notify."""
        of_handlers = [key for name in handlers for key in (keys.todo(name), keys.notified(name), keys.waiter(name))]
        routes = list(dict.fromkeys(each.routes for each in decoded))
        place = {route: number for number, route in enumerate(routes, 1)}
        unknown = [(number, each.unrecognised_name) for number, each in enumerate(decoded, 1) if each.unrecognised_name]
        read = batch or Batch()
        args: list[Any] = [keys.GROUP, keys.SEEN_PREFIX, seen_ms, NOTIFY_INTERVAL_MS]
        args += (BATCH, read.taken_over or b"", read.consumer)
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

    def ack_batch(
        self, handler: str, done: Iterable[tuple[str, int, Sequence[Failure]]], outbox_due_ms: int | None = None
    ) -> None:
        """A handler's commit point in Valkey, strictly after its commit in SQL. It also does what `outbox_due` does.

        `done`: for each claim check its todo id, how many events it names, and the failures among them.
        """
        args: list[Any] = [keys.GROUP, handler, "" if outbox_due_ms is None else outbox_due_ms]
        for todo_id, events, failed in done:
            args += (todo_id, events, len(failed))
            for failure in failed:
                due = failure.next_at_ms if failure.state is FailureState.RETRYING else ""
                args += (failure.field, encode_failure(failure), due)
        self._ack_batch([keys.todo(handler), keys.COUNTERS, keys.FAILURES, keys.RETRIES, keys.OUTBOX], args)

    def finish_commits(self) -> None:
        """Finish what a script that Valkey stopped has still to do. Every other commit does so too: this is for when none comes."""
        self._finish([keys.COUNTERS])

    def load_bodies(self, checks: Iterable[Sequence[str]], *, near: bool) -> dict[str, Fields]:
        """The inbox entries of the events that claim checks name. Entries that no longer exist are left out.

        `near`: the entries of a claim check are close together in the inbox, so the range from first to last is read.
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

    def queues_to_notify(self, queues: Sequence[str]) -> list[str]:
        """The queues that need a notification: no consumer waits, and none was sent a moment ago. Marks them as notified."""
        if not queues:
            return []
        reply: Any = self._notify(
            [key for queue in queues for key in (keys.waiter(queue), keys.notified(queue))], [NOTIFY_INTERVAL_MS]
        )
        return [queues[place - 1] for place in reply]

    def try_notify(self, queue: str, once_in_ms: int = NOTIFY_INTERVAL_MS) -> bool:
        """Whether a notification may be sent although a consumer waits: at most one in a while. Marks the queue as notified."""
        return bool(self.client.set(keys.notified(queue), 1, nx=True, px=once_in_ms))

    def clear_notified(self, queue: str) -> None:
        """A task has started: the next call for work needs a notification of its own."""
        self.client.delete(keys.notified(queue))

    def set_waiter_flag(self, queue: str, owner: str, lifetime_ms: int) -> bool:
        """Set or renew the waiter flag: a consumer waits on the queue's stream. False if another consumer holds it."""
        first: Any = self.client.set(keys.waiter(queue), owner, nx=True, get=True, px=lifetime_ms)
        if first is None:
            return True
        if first.decode() != owner:
            return False
        self.client.pexpire(keys.waiter(queue), lifetime_ms)
        return True

    def clear_waiter_flag(self, queue: str, owner: str) -> None:
        """Clear our waiter flag. If another consumer sets its own between check and removal, that costs one notification."""
        holder: Any = self.client.get(keys.waiter(queue))
        if holder is not None and holder.decode() == owner:
            self.client.delete(keys.waiter(queue))

    def note_unreachable(self, queue: str, what: str) -> None:
        """Record for `curbside status` what a queue's work cannot reach, if Valkey lets us."""
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hset(keys.UNREACHABLE, queue, what)
        pipeline.expire(keys.UNREACHABLE, 600)
        with suppress(redis.ResponseError):
            pipeline.execute()

    def note_reachable(self, queue: str) -> None:
        """Remove the record of `note_unreachable`."""
        self.client.hdel(keys.UNREACHABLE, queue)

    def outbox_due(self, at_ms: int) -> None:
        """Store that an alert may be due then, unless an earlier time is stored."""
        self.client.zadd(keys.OUTBOX, {"due": at_ms}, lt=True)

    def outbox_done(self) -> None:
        """Remove the stored time. The writer of another alert stores it again."""
        self.client.delete(keys.OUTBOX)

    def backlog(self, streams: Sequence[str], idle_ms: int) -> list[bool]:
        """For each stream, whether it has unread entries, or entries that have been pending for `idle_ms`."""
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
        """An id that no unacknowledged entry is older than: the oldest pending, or the last one read. None without a group."""
        pipeline = self.client.pipeline(transaction=True)
        pipeline.xpending(stream, keys.GROUP)
        pipeline.xinfo_groups(stream)
        pending, groups = pipeline.execute()
        if pending["min"] is not None:
            return str(pending["min"].decode())
        delivered = next((group["last-delivered-id"] for group in groups if group["name"] == keys.GROUP.encode()), None)
        return None if delivered is None else str(delivered.decode())

    def page(self, stream: str, start: str, count: int, last: str = "+") -> list[Entry]:
        """Read entries of a stream from an id on, outside the consumer group."""
        return entries_of(self._raw("XRANGE", stream, start, last, "COUNT", count))

    def trim_inbox(self, first_kept: str) -> None:
        """Trim older entries. The trim is approximate: Valkey removes whole nodes, which is cheap."""
        self.client.xtrim(keys.INBOX, minid=first_kept, approximate=True, limit=100_000)

    def recover_orphans(self, stream: str, idle_ms: int) -> int:
        """Make claim checks pending again that were lost with their consumer, idle for `idle_ms`. Returns how many they were."""
        reply: Any = self._orphans([stream, keys.COUNTERS], [keys.GROUP, "recovered", idle_ms])
        return int(reply)

    def remove_idle_consumers(self, stream: str, idle_ms: int) -> None:
        """Remove consumers that have been idle for `idle_ms` and have no pending entries, in one atomic step."""
        self._idle_consumers([stream], [keys.GROUP, idle_ms])


def _is_waiting(groups: Any, stale: Any) -> bool:
    if isinstance(groups, redis.ResponseError):  # no stream yet
        return False
    if isinstance(groups, Exception):
        raise groups
    group = next((each for each in groups if each["name"] == keys.GROUP.encode()), None)
    return group is None or group["lag"] is None or group["lag"] > 0 or (isinstance(stale, list) and bool(stale))
