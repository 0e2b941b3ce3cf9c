"""Every Valkey command of the workers that changes a stream, a notification or a flag. `schemas.keys` documents the data model.

The commit points are Lua scripts (`workers/valkey/scripts/`), not WATCH/MULTI/EXEC: an outcome may be counted only if the
entry has had none, which MULTI cannot check. A script is also one round trip instead of three, and concurrent
dispatchers never have to start over.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis

from schemas import keys
from schemas.failures import Failure, FailureState, encode_failure
from schemas.processes import NOTIFICATION_LIFETIME_MS, NOTIFY_INTERVAL_MS, UNANSWERED_MS
from schemas.stream_groups import stream_id
from workers.valkey import scripts
from workers.valkey.backlog import has_work
from workers.valkey.entries import BATCH, Batch, Bodies, Entry, entries_of, pairs_of
from workers.valkey.group_reader import GroupReader
from workers.valkey.outage_log import OutageLog
from workers.valkey.outage_notes import OutageNotes


class Routed(NamedTuple):
    """A decoded entry: its route (places of handlers, from 1), and the event's name if it is unrecognised."""

    event_id: str
    identity: str
    routes: bytes
    unrecognised_name: str = ""


class HandledCheck(NamedTuple):
    """A handled claim check: how many events it names, how many were left to their failure records, and which failed."""

    todo_id: str
    events: int
    left: int
    failures: Sequence[Failure]


class Store(GroupReader, OutageNotes):
    """The workers' Valkey. Safe to share between threads."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self.outage = OutageLog("Valkey")
        self._route = scripts.load(client, "commit", "seen", "unrecognised", "route")
        self._ack_batch = scripts.load(client, "commit", "ack_batch")
        self._bodies, self._notify = (scripts.load(client, name) for name in ("bodies", "notify"))
        self._finish, self._orphans = (scripts.load(client, "commit", name) for name in ("finish", "orphans"))
        self._idle_consumers, self._groups = scripts.load(client, "idle_consumers"), scripts.load(client, "groups")

    def ensure_groups(self, streams: Sequence[str]) -> None:
        """Create the missing consumer groups at 0, so that they also read what was appended before."""
        for stream in streams:
            try:
                self.client.xgroup_create(stream, keys.GROUP, id="0", mkstream=True)
            except redis.OutOfMemoryError:
                self._groups([stream], [keys.GROUP])
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

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
        args: list[Any] = [keys.GROUP, keys.SEEN_PREFIX, seen_ms, NOTIFICATION_LIFETIME_MS]
        args += (BATCH, read.taken_over or b"", read.consumer)
        args += (len(handlers), *handlers, len(routes), *routes, len(decoded))
        args += [each.event_id for each in decoded]
        args += [each.identity for each in decoded]
        args += (bytes([place[each.routes] for each in decoded]), len(unknown))
        args += [part for pair in unknown for part in pair]
        args += [part for failure in undecodable for part in (failure.event_id, encode_failure(failure))]
        names = [keys.INBOX, keys.COUNTERS, keys.FAILURES, keys.UNRECOGNISED, keys.TAKEN_OVER, *of_handlers]
        reply: Any = self._route(names, args)
        self.taken_over = reply[0]
        return [handlers[number - 1] for number in reply[1]]

    def ack_batch(self, handler: str, done: Iterable[HandledCheck], outbox_due_ms: int | None = None) -> int:
        """A handler's commit point in Valkey, strictly after its commit in SQL. It also does what `outbox_due` does.

        Returns how many failures of the handler were on record before.
        """
        args: list[Any] = [keys.GROUP, handler, "" if outbox_due_ms is None else outbox_due_ms]
        for check in done:
            args += (check.todo_id, check.events, check.left, len(check.failures))
            for failure in check.failures:
                due = failure.next_at_ms if failure.state is FailureState.RETRYING else ""
                args += (failure.field, encode_failure(failure), due)
        before: Any = self._ack_batch([keys.todo(handler), keys.COUNTERS, keys.FAILURES, keys.RETRIES, keys.OUTBOX], args)
        return int(before)

    def finish_commits(self) -> None:
        """Finish what a script that Valkey stopped has still to do. Every other commit does so too: this is for when none comes."""
        self._finish([keys.COUNTERS])

    def load_bodies(self, checks: Iterable[Sequence[str]], *, near: bool, handler: str = "") -> Bodies:
        """The inbox entries of the events that claim checks name. Entries that no longer exist are left out.

        `near`: the entries of a claim check are close together in the inbox, so the range from first to last is read.
        `handler`: also read how many of its failures are on record.
        """
        checks = [ids for ids in checks if ids]
        found, counter = Bodies(), keys.Counter.failed(handler)
        if near or not checks:
            pipeline = self.client.pipeline(transaction=False)
            pipeline.hget(keys.COUNTERS, counter)
            for ids in checks:
                pipeline.execute_command(b"XRANGE", keys.INBOX, ids[0], ids[-1], "COUNT", 2 * len(ids))  # type: ignore[no-untyped-call]
            failures, *replies = pipeline.execute()
            found.update(entry for reply in replies for entry in entries_of(reply))
            found.failures = int(failures or 0)
        if missing := [event_id for ids in checks for event_id in ids if event_id not in found]:
            reply: Any = self._bodies([keys.INBOX, keys.COUNTERS], [counter, *missing])
            *entries, failures = reply
            found |= {event_id: pairs_of(fields) for event_id, fields in zip(missing, entries, strict=True) if fields}
            found.failures = int(failures or 0)
        return found

    def queues_to_notify(self, queues: Sequence[str]) -> tuple[list[str], list[str]]:
        """The queues that need a notification, which are marked as notified, and those whose last one nobody has answered."""
        if not queues:
            return [], []
        flags = [key for queue in queues for key in (keys.waiter(queue), keys.notified(queue))]
        reply: Any = self._notify(flags, [NOTIFICATION_LIFETIME_MS, UNANSWERED_MS, NOTIFY_INTERVAL_MS])
        to_notify, unanswered = ([queues[place - 1] for place in places] for places in reply)
        return to_notify, unanswered

    def try_notify(self, queue: str, once_in_ms: int = NOTIFICATION_LIFETIME_MS) -> bool:
        """Whether a notification may be sent although a consumer waits: no unanswered one is. Marks the queue as notified.

        None may if Valkey is full, and cannot be marked.
        """
        try:
            return bool(self.client.set(keys.notified(queue), 1, nx=True, px=once_in_ms))
        except redis.OutOfMemoryError:
            return False

    def clear_notified(self, queue: str) -> None:
        """A task has started: the next call for work needs a notification of its own."""
        self.client.delete(keys.notified(queue))

    def limit_notified(self, queue: str) -> None:
        """A task has found the queue running: the notification is answered, and the next one may be sent in a while."""
        self.client.pexpire(keys.notified(queue), NOTIFY_INTERVAL_MS)

    def set_waiter_flag(self, queue: str, owner: str, lifetime_ms: int) -> bool:
        """Set or renew the waiter flag: a consumer waits on the queue's stream. False if another holds it, or if Valkey is full."""
        try:
            first: Any = self.client.set(keys.waiter(queue), owner, nx=True, get=True, px=lifetime_ms)
        except redis.OutOfMemoryError:
            return False
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

    def end_outage(self) -> None:
        """If there was an outage, show by a write that it is over: a Valkey that refuses writes may answer everything else."""
        if self.outage.is_on:
            self.client.set(keys.READY, 1, px=1_000)
            self.outage.over()

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
            pipeline.xinfo_stream(stream)
            pipeline.xinfo_groups(stream)
            pipeline.xpending_range(stream, keys.GROUP, "-", "+", 1, idle=idle_ms)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        return [has_work(*replies[at : at + 3]) for at in range(0, len(replies), 3)]

    def outbox_due_at(self) -> int | None:
        """When an alert is due, in epoch milliseconds; None if none waits."""
        due: Any = self.client.zscore(keys.OUTBOX, "due")
        return None if due is None else int(due)

    def oldest_unacknowledged(self, stream: str) -> str | None:
        """An id that no unacknowledged entry is older than: the oldest pending, or the last one read. None without a group.

        The last one read is asked first: what is read later is newer. A transaction would be refused while Redis 7.0 is full.
        """
        pipeline = self.client.pipeline(transaction=False)
        pipeline.xinfo_groups(stream)
        pipeline.xpending(stream, keys.GROUP)
        groups, pending = pipeline.execute()
        ids = [group["last-delivered-id"].decode() for group in groups if group["name"] == keys.GROUP.encode()]
        ids += [pending["min"].decode()] if pending["min"] is not None else []
        return min(ids, key=stream_id, default=None)

    def page(self, stream: str, start: str, count: int, last: str = "+") -> list[Entry]:
        """Read entries of a stream from an id on, outside the consumer group."""
        return entries_of(self._raw("XRANGE", stream, start, last, "COUNT", count))

    def recover_orphans(self, stream: str, idle_ms: int) -> int:
        """Make claim checks pending again that were lost with their consumer, idle for `idle_ms`. Returns how many they were."""
        reply: Any = self._orphans([stream, keys.COUNTERS], [keys.GROUP, "recovered", idle_ms])
        return int(reply)

    def remove_idle_consumers(self, stream: str, idle_ms: int) -> None:
        """Remove consumers that have been idle for `idle_ms` and have no pending entries, in one atomic step."""
        self._idle_consumers([stream], [keys.GROUP, idle_ms])
