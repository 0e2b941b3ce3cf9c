"""What waits is counted right, whatever the server says of a group's lag: Redis 7.0 forgets it or says it wrong."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import redis
from redis.asyncio import Redis

from ingress.backpressure import check_inbox
from schemas import keys
from schemas.stream_groups import GroupState, group_state
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts
from workers.monitoring.status import InboxStatus, read_streams


def refusal(url: str, max_backlog: int) -> str | None:
    async def main() -> str | None:
        async with Redis.from_url(url, protocol=2, decode_responses=True) as valkey:
            found = (await check_inbox(valkey, max_backlog)).refusal
            return found.detail if found else None

    return asyncio.run(main())


def is_rewritten(client: "redis.Redis") -> bool:
    about = client.info("persistence")
    return not about["aof_rewrite_in_progress"] and not about["aof_rewrite_scheduled"]


def restart_after_rewrite(server: RealValkey, parts: WorkerParts) -> None:
    """Entries are read after the append-only file was rewritten, then the server restarts: Redis 7.0 forgets that they were."""
    parts.client.bgrewriteaof()
    wait_for(lambda: is_rewritten(parts.client), what="the rewrite of the append-only file")
    dispatch(parts, 50)
    server.stop()
    server.start()


def promote_replica(server: RealValkey, parts: WorkerParts) -> None:
    """Entries are read while a replica follows, then the replica's data take the server's place."""
    replica = RealValkey(server.program)
    try:
        replica.start()
        with redis.Redis.from_url(replica.url) as follower:
            parts.client.config_set("repl-diskless-sync-delay", 0)
            follower.replicaof("127.0.0.1", server.port)
            wait_for(lambda: follower.info("replication")["master_link_status"] == "up", what="the replica to follow")
            dispatch(parts, 50)
            wait_for(lambda: delivered(follower) == delivered(parts.client), what="the replica to have it all")
            follower.replicaof("NO", "ONE")
            parts.client.flushall()
            parts.client.replicaof("127.0.0.1", replica.port)
            wait_for(lambda: delivered(parts.client) == delivered(follower), what="its data in the server's place")
            parts.client.replicaof("NO", "ONE")
    finally:
        replica.discard()


def forget(server: RealValkey, parts: WorkerParts) -> None:
    """The server no longer knows how much was read."""
    dispatch(parts, 50)
    set_read(parts, -1)


def count_read_entries_as_unread(server: RealValkey, parts: WorkerParts) -> None:
    """The server says that 50 entries are unread that were read."""
    dispatch(parts, 50)
    set_read(parts, parts.client.xinfo_groups(keys.INBOX)[0]["entries-read"] - 50)


FAULTS = [restart_after_rewrite, promote_replica, forget, count_read_entries_as_unread]
Fault = Callable[[RealValkey, WorkerParts], None]


def set_read(parts: WorkerParts, count: int) -> None:
    parts.client.execute_command("XGROUP", "SETID", keys.INBOX, keys.GROUP, delivered(parts.client), "ENTRIESREAD", count)


def delivered(client: "redis.Redis") -> object:
    try:
        return client.xinfo_groups(keys.INBOX)[0]["last-delivered-id"]
    except (redis.ResponseError, IndexError):
        return None


def append(parts: WorkerParts, count: int) -> None:
    pipeline = parts.client.pipeline(transaction=False)
    for _ in range(count):
        pipeline.xadd(keys.INBOX, {keys.FIELD_BODY: b"\xff" * 900})
    pipeline.execute()


def dispatch(parts: WorkerParts, count: int) -> None:
    """Read and acknowledge entries, and count them as the dispatcher does."""
    names = [entry.id for entry in parts.read_new(count=count)]
    assert parts.client.xack(keys.INBOX, keys.GROUP, *names) == len(names)
    parts.client.hincrby(keys.COUNTERS, keys.Counter.ROUTED, len(names))


def inbox(parts: WorkerParts) -> InboxStatus:
    return read_streams(parts.client, [], datetime.now(UTC))[0]


@pytest.mark.leaves_pending
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_was_read_is_not_counted_as_waiting(real_server: RealValkey, fault: Fault) -> None:
    parts = WorkerParts(real_server.url)
    append(parts, 100)
    dispatch(parts, 30)
    fault(real_server, parts)
    append(parts, 10)
    parts.read_new(consumer="one", count=5)
    assert (inbox(parts).waiting, inbox(parts).lag, inbox(parts).balanced) == (30, 25, True)
    assert refusal(real_server.url, 30) is None
    assert refusal(real_server.url, 29) is not None
    assert parts.store.backlog([keys.INBOX], 3_600_000) == [True]
    parts.client.hincrby(keys.COUNTERS, keys.Counter.ROUTED, -3)
    assert (inbox(parts).waiting, inbox(parts).balanced) == (30, False), "a wrong counter changes no count of the stream"
    parts.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_when_everything_is_read_nobody_is_notified_and_nothing_refused(real_server: RealValkey, fault: Fault) -> None:
    parts = WorkerParts(real_server.url)
    append(parts, 60)
    dispatch(parts, 10)
    fault(real_server, parts)
    assert parts.store.backlog([keys.INBOX], 3_600_000) == [False]
    assert (inbox(parts).waiting, inbox(parts).oldest_age_seconds, inbox(parts).balanced) == (0, None, True)
    assert refusal(real_server.url, 0) is None
    parts.close()


def test_unread_entries_are_counted_in_parts_and_those_that_come_meanwhile_are_not(real_server: RealValkey) -> None:
    parts = WorkerParts(real_server.url)
    append(parts, 4_500)
    dispatch(parts, 7)
    count_read_entries_as_unread(real_server, parts)
    assert inbox(parts).waiting == 4_500 - 57
    parts.close()


def state(**changed: object) -> GroupState:
    start = {"length": 100, "added": 1000, "last": (9, 0), "delivered": (5, 0), "pending": 3, "lag": 10}
    return GroupState(**(start | changed))  # type: ignore[arg-type]


def test_the_ids_decide_before_any_count() -> None:
    assert state(delivered=(9, 0), lag=50).unread() == 0
    assert state(length=0, lag=50).unread() == 0
    assert state(lag=0).unread() == 1, "ids that differ: something is unread"


def test_the_smallest_of_the_bounds_counts() -> None:
    assert state().unread() == 10
    assert state(lag=None).unread() == 100
    assert state(lag=None).unread(settled=980) == 17
    assert state(lag=500).unread(settled=500) == 100
    assert state().unread(settled=500) == 10


def test_a_group_that_does_not_exist_has_read_nothing() -> None:
    about = {"length": 5, "entries-added": 7, "last-generated-id": b"7-1"}
    assert group_state(about, [{"name": b"auditors"}], keys.GROUP).unread() == 5
