"""Who works on an entry: a claim is renewed while its batch is alive, and what a dead or frozen worker held is found and taken over.

On Valkey and on Debian's Redis 7.0.
"""

import threading
from collections.abc import Iterator

import pytest

from schemas import keys
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, status
from tests.unit.dispatching import dispatcher_of
from workers.consumers import heartbeat as heartbeat_module
from workers.consumers import stream_consumer as stream_consumer_module
from workers.consumers.heartbeat import Heartbeat
from workers.consumers.stream_consumer import GroupMember, StreamConsumer
from workers.valkey.entries import Batch

STREAM = keys.todo("refunds")


@pytest.fixture
def parts(real_server: RealValkey) -> Iterator[WorkerParts]:
    made = WorkerParts(real_server.url)
    yield made
    made.close()


def entries(parts: WorkerParts, count: int, consumer: str) -> Batch:
    """New entries that this consumer has read."""
    for _ in range(count):
        parts.client.xadd(STREAM, {keys.FIELD_EVENT: "1-1"})
    parts.store.ensure_groups([STREAM])
    return parts.store.read(STREAM, consumer, count)


def age(parts: WorkerParts, consumer: str, *ids: str) -> None:
    """Make pending entries look as if nobody had touched them for a minute."""
    parts.client.execute_command(b"XCLAIM", STREAM, keys.GROUP, consumer, 0, *ids, "IDLE", 60_000, "JUSTID")


def pending(parts: WorkerParts) -> dict[str, tuple[str, int]]:
    """Each pending entry, with its consumer and how often it was delivered."""
    found = parts.client.xpending_range(STREAM, keys.GROUP, "-", "+", 1000)
    return {each["message_id"].decode(): (each["consumer"].decode(), each["times_delivered"]) for each in found}


def acknowledge(parts: WorkerParts, batch: Batch) -> None:
    parts.client.xack(STREAM, keys.GROUP, *[entry.id for entry in batch])


def test_what_lies_behind_many_young_entries_is_claimed(parts: WorkerParts) -> None:
    young, old = entries(parts, 200, "alive"), entries(parts, 2, "dead")
    age(parts, "dead", *[entry.id for entry in old])
    claimed = parts.store.claim(STREAM, "other", 10_000, 1) + parts.store.claim(STREAM, "other", 10_000, 1)
    assert claimed == old
    assert parts.store.claim(STREAM, "other", 10_000, 1) == []
    for batch in (young, old):
        acknowledge(parts, batch)


def test_a_claimed_entry_says_how_often_it_was_delivered(parts: WorkerParts) -> None:
    batch = entries(parts, 3, "dead")
    for times, consumer in enumerate(("b", "c", "d"), 2):
        age(parts, consumer, *[entry.id for entry in batch])
        assert parts.store.claim(STREAM, consumer, 10_000, 10).deliveries == times
    again = parts.store.read_own(STREAM, "d", "0", 10)
    assert parts.store.deliveries(STREAM, "d", again) == 5
    acknowledge(parts, batch)


def test_a_pending_body_that_was_deleted_still_gets_an_outcome(parts: WorkerParts) -> None:
    first, second = parts.append(status("a"), status("b"))
    parts.read_new(consumer="dead")
    parts.client.execute_command(b"XCLAIM", keys.INBOX, keys.GROUP, "dead", 0, first, second, "IDLE", 60_000, "JUSTID")
    parts.client.xdel(keys.INBOX, first)
    for _ in range(2):  # a worker that dies after its claim leaves it to the next one
        claimed = parts.store.claim(keys.INBOX, "alive", 10_000, 10)
        assert claimed[0] == (first, {})
    parts.client.execute_command(b"XCLAIM", keys.INBOX, keys.GROUP, "dead", 0, second, "IDLE", 60_000, "JUSTID")
    dispatcher_of(parts)(parts.store.claim(keys.INBOX, "alive", 10_000, 10))
    assert (parts.sums().count("undecodable"), parts.sums().count("routed")) == (1, 1)


def test_a_renewed_claim_is_not_taken_over_and_counts_as_no_delivery(parts: WorkerParts) -> None:
    batch = entries(parts, 3, "slow")
    age(parts, "slow", *[entry.id for entry in batch])
    assert parts.store.renew(STREAM, "slow", batch) == 3
    assert parts.store.claim(STREAM, "other", 10_000, 10) == []
    assert set(pending(parts).values()) == {("slow", 1)}
    acknowledge(parts, batch)


def test_a_worker_that_was_frozen_takes_nothing_back(parts: WorkerParts) -> None:
    batch = entries(parts, 3, "frozen")
    age(parts, "frozen", *[entry.id for entry in batch[:2]])
    assert len(parts.store.claim(STREAM, "other", 10_000, 10)) == 2
    assert parts.store.renew(STREAM, "frozen", batch) == 1
    assert sorted(pending(parts).values()) == [("frozen", 1), ("other", 2), ("other", 2)]
    acknowledge(parts, batch)
    assert parts.store.renew(STREAM, "frozen", batch) == 0


def test_a_batch_that_takes_long_is_handled_by_one_worker(parts: WorkerParts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without renewal the other worker claims the entries after `CLAIM_IDLE_MS`, and handles them as well."""
    monkeypatch.setattr(stream_consumer_module, "CLAIM_IDLE_MS", 400)
    monkeypatch.setattr(stream_consumer_module, "CLAIM_PERIOD_SECONDS", 0.01)
    monkeypatch.setattr(stream_consumer_module, "IDLE_WAIT_MS", 20)
    monkeypatch.setattr(heartbeat_module, "PERIOD_SECONDS", 0.1)
    handled, looks, beating, stopping = list[str](), list[int](), Heartbeat(), threading.Event()
    other = StreamConsumer("refunds", STREAM, lambda batch: handled.append("other"), _member(parts, "other", stopping))

    def look() -> bool:
        other.run()
        looks.append(1)
        return len(looks) > 20

    def slow(batch: Batch) -> None:
        handled.append("slow")
        first = parts.client.time()
        wait_for(lambda: look() and parts.client.time()[0] >= first[0] + 2, what="the other worker to have looked for long")
        acknowledge(parts, batch)

    parts.store.ensure_groups([STREAM])
    parts.client.xadd(STREAM, {keys.FIELD_EVENT: "1-1"})
    StreamConsumer("refunds", STREAM, slow, _member(parts, "slow", stopping, beating)).run()
    beating.close()
    assert handled == ["slow"]


def _member(parts: WorkerParts, name: str, stopping: threading.Event, beating: Heartbeat | None = None) -> GroupMember:
    return GroupMember(name, parts.store, parts.notifier, stopping, beating or Heartbeat())
