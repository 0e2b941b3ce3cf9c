"""The history of the inbox, as this Valkey knows it: which one it is, how far it goes, what waits. Every command here only reads,
but the one that names a new history.
"""

import secrets
from datetime import datetime
from typing import Any, NamedTuple

import redis

from schemas import keys
from schemas.events import received_at
from schemas.keys import Counter
from schemas.stream_groups import stream_id
from workers.valkey import scripts


class InboxHistory(NamedTuple):
    """One look. `epoch`: None if the history has no name yet. `added`: entries ever appended. `unfinished`: without an outcome.

    `oldest_at`: since when the oldest unfinished event waits; None if none does, or if it is not known.
    """

    epoch: str | None
    last_id: str
    added: int
    length: int
    first_id: str | None
    unfinished: int
    failures: int
    oldest_at: datetime | None


def name_history(client: redis.Redis) -> None:
    """Give this history a name, unless it has one."""
    if client.get(keys.EPOCH) is None:
        client.set(keys.EPOCH, secrets.token_hex(8), nx=True)


def read_history(client: redis.Redis) -> InboxHistory:
    """Read it: two round trips, one if nothing waits."""
    try:
        epoch, counters, failures, pending, info = _read(client, is_atomic=True)
    except redis.OutOfMemoryError:  # Redis 7.0 refuses every transaction while it is full
        epoch, counters, failures, pending, info = _read(client, is_atomic=False)
    for reply in (epoch, counters, failures, pending, info):
        if isinstance(reply, Exception) and not (isinstance(reply, redis.ResponseError) and reply in (pending, info)):
            raise reply
    count = {name.decode(): int(value) for name, value in counters.items()}
    known: dict[str, Any] = info if isinstance(info, dict) else {}
    added = int(known.get("entries-added", 0))
    in_inbox = added - sum(count.get(name, 0) for name in (Counter.DUPLICATE, Counter.ROUTED, Counter.UNDECODABLE))
    waiting = {name.removeprefix(_WAITING): number for name, number in count.items() if name.startswith(_WAITING)}
    ids = _oldest_ids(client, [name for name, number in waiting.items() if number > 0])
    if isinstance(pending, dict) and pending["min"]:
        ids.append(pending["min"].decode())
    return InboxHistory(
        epoch=None if epoch is None else epoch.decode(),
        last_id=known["last-generated-id"].decode() if known else "0-0",
        added=added,
        length=int(known.get("length", 0)),
        first_id=known["first-entry"][0].decode() if known.get("first-entry") else None,
        unfinished=max(0, in_inbox) + sum(waiting.values()),
        failures=int(failures),
        oldest_at=received_at(min(ids, key=stream_id)) if ids else None,
    )


def _read(client: redis.Redis, *, is_atomic: bool) -> list[Any]:
    pipeline = client.pipeline(transaction=is_atomic)
    pipeline.get(keys.EPOCH)
    pipeline.hgetall(keys.COUNTERS)
    pipeline.hlen(keys.FAILURES)
    pipeline.xpending(keys.INBOX, keys.GROUP)
    pipeline.xinfo_stream(keys.INBOX)
    return pipeline.execute(raise_on_error=False)


_WAITING = Counter.waiting("")


def _oldest_ids(client: redis.Redis, handlers: list[str]) -> list[str]:
    """The first event of each handler's first claim check."""
    pipeline = client.pipeline(transaction=False)
    for name in handlers:
        pipeline.xrange(keys.todo(name), count=1)
    found: list[Any] = pipeline.execute() if handlers else []
    return [fields[keys.FIELD_EVENT].split()[0].decode() for entries in found for _, fields in entries if fields]


def holds(client: redis.Redis, event_id: str) -> bool:
    """Whether the inbox has this entry."""
    return bool(client.xrange(keys.INBOX, event_id, event_id, count=1))


def count_after(client: redis.Redis, event_id: str, last_id: str = "+") -> int:
    """How many entries the inbox has after this id, up to `last_id`."""
    script, count, start = scripts.load(client, "count_entries"), 0, f"({event_id}"
    while start:
        reply: Any = script([keys.INBOX], [start, last_id])
        count, start = count + int(reply[0]), reply[1].decode()
    return count


def server_of(client: redis.Redis) -> tuple[str, ...]:
    """Which run of which server this is, and of whose history: another one after a restart or a failover. Empty if it is not told."""
    try:
        told = client.info("server", "replication")
    except redis.ResponseError:
        return ()
    return str(told.get("run_id")), str(told.get("master_replid"))


def neighbours(client: redis.Redis, event_id: str) -> tuple[datetime | None, datetime | None]:
    """The times of the entries before and after this id, which the inbox does not have."""
    before: Any = client.xrevrange(keys.INBOX, event_id, "-", count=1)
    after: Any = client.xrange(keys.INBOX, f"({event_id}", "+", count=1)
    return (received_at(before[0][0].decode()) if before else None, received_at(after[0][0].decode()) if after else None)
