"""The commit of a dispatched batch: exact counts with several dispatchers and after crashes, and its cost in round trips."""

import threading

import pytest

from schemas import keys
from tests.support.redis_monitor import RedisMonitor
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, refund, status
from tests.unit.dispatching import CUT_OFF, dispatcher_of
from workers.valkey.entries import Batch


def test_a_batch_held_by_two_dispatchers_counts_once(worker_parts: WorkerParts) -> None:
    body = status("a")
    worker_parts.append(body, body, CUT_OFF, refund("b", "bread"))
    slow = worker_parts.read_new(consumer="slow")
    quick = wait_for(lambda: worker_parts.store.claim(keys.INBOX, "quick", 0, 100), what="it to be claimed")
    assert quick == slow
    for batch in (quick, slow, quick):
        dispatcher_of(worker_parts)(batch)
        looked = worker_parts.sums()
        assert (looked.count("routed"), looked.count("duplicate"), looked.count("undecodable")) == (2, 1, 1)
    assert len(worker_parts.waiting_for("timeline")) == 2
    assert len(worker_parts.waiting_for("refunds")) == 1


def test_a_slow_dispatcher_whose_batch_was_claimed_and_finished_counts_nothing(worker_parts: WorkerParts) -> None:
    worker_parts.append(status("first"))
    dispatcher_of(worker_parts)(worker_parts.read_new(consumer="slow"))  # from now on it knows how often entries changed hands
    worker_parts.append(status("a"), CUT_OFF, refund("b", "bread"))
    slow = worker_parts.read_new(consumer="slow")
    assert isinstance(slow, Batch)
    assert slow.taken_over is not None
    quick = wait_for(lambda: worker_parts.store.claim(keys.INBOX, "quick", 0, 100), what="it to be claimed")
    assert quick.taken_over is None
    for batch in (quick, slow):
        dispatcher_of(worker_parts)(batch)
        looked = worker_parts.sums()
        assert (looked.count("routed"), looked.count("undecodable"), looked.waiting) == (3, 1, 0)


def test_identities_are_kept_from_one_half_of_the_deduplication_window_to_the_next(worker_parts: WorkerParts) -> None:
    seen_ms, body = 3_000, status("a")
    worker_parts.append(body)
    dispatcher_of(worker_parts, seen_ms)(worker_parts.read_new())

    def halves() -> set[str]:
        return {key.decode() for key in worker_parts.client.scan_iter(f"{keys.SEEN_PREFIX}*")}

    (first,) = halves()

    def another_half_has_begun() -> bool:
        worker_parts.append(status("b"))
        dispatcher_of(worker_parts, seen_ms)(worker_parts.read_new())
        return halves() > {first}

    wait_for(another_half_has_begun, what="the next half of the window")
    worker_parts.append(body)
    dispatcher_of(worker_parts, seen_ms)(worker_parts.read_new())
    assert worker_parts.sums().count("duplicate") == 1


def test_a_dispatcher_that_dies_before_its_commit_has_changed_nothing(worker_parts: WorkerParts) -> None:
    worker_parts.append(status("a"), CUT_OFF)
    worker_parts.read_new(consumer="dead")
    assert worker_parts.sums().waiting == 2
    assert not list(worker_parts.client.scan_iter(f"{keys.SEEN_PREFIX}*"))
    dispatcher_of(worker_parts)(wait_for(lambda: worker_parts.store.claim(keys.INBOX, "alive", 0, 100), what="a claim"))
    assert worker_parts.sums().counters == {"routed": 1, "routed:timeline": 1, "undecodable": 1}


def test_concurrent_dispatchers_count_exactly(worker_parts: WorkerParts) -> None:
    bodies = [status(f"order-{number}") for number in range(200)]
    worker_parts.append(*bodies, *bodies, *[CUT_OFF] * 20)
    worker_parts.store.ensure_groups([keys.INBOX])

    def work(consumer: str) -> None:
        dispatcher = dispatcher_of(worker_parts)
        while batch := worker_parts.store.read(keys.INBOX, consumer, 7):
            dispatcher(batch)

    threads = [threading.Thread(target=work, args=(f"dispatcher-{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    looked = worker_parts.sums()
    assert looked.counters == {"routed": 200, "routed:timeline": 200, "duplicate": 200, "undecodable": 20}
    assert len(set(worker_parts.waiting_for("timeline"))) == 200


@pytest.mark.parametrize("count", [1, 250])
def test_a_dispatch_costs_two_round_trips_for_any_number_of_events(real_worker_parts: WorkerParts, count: int) -> None:
    dispatcher = dispatcher_of(real_worker_parts)
    real_worker_parts.append(status("first"), refund("first", "bread"))
    dispatcher(real_worker_parts.read_new())  # loads the script, notifies
    real_worker_parts.append(*(refund(f"order-{number}", "bread") for number in range(count)))
    with RedisMonitor(real_worker_parts.url) as monitor:
        batch = real_worker_parts.store.read(keys.INBOX, "one", 1000)
        dispatcher(batch)
    assert len(batch) == count
    assert [command.partition(" ")[0] for command in monitor.commands] == ["XREADGROUP", "EVALSHA"]


@pytest.mark.parametrize("count", [1, 250])
def test_within_the_commit_the_number_of_commands_does_not_grow_with_the_events(
    real_worker_parts: WorkerParts, count: int
) -> None:
    dispatcher = dispatcher_of(real_worker_parts)
    real_worker_parts.append(status("first"), refund("first", "bread"))
    dispatcher(real_worker_parts.read_new())
    real_worker_parts.append(*(refund(f"order-{number}", "bread") for number in range(count)))
    batch = real_worker_parts.read_new()
    real_worker_parts.client.config_resetstat()
    dispatcher(batch)
    stats = real_worker_parts.client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): stats[name]["calls"] for name in stats}
    expected = {"xack": 1, "hset": 2, "pexpireat": 1, "xadd": 2, "evalsha": 1}
    assert {name: calls.get(name) for name in expected} == expected, "one claim check for each handler, whatever it names"
    assert calls["hmget"] <= 2, "the present half of the window, and the one before if it is there"
    assert sum(calls.values()) <= 30


def test_a_valkey_without_memory_left_loses_nothing_in_the_middle_of_a_commit(
    real_valkey: RealValkey, real_worker_parts: WorkerParts
) -> None:
    body = status("a")
    real_worker_parts.append(body, body, CUT_OFF, refund("b", "bread"))
    taken = real_worker_parts.read_new()
    real_worker_parts.client.config_set("maxmemory", 1)
    dispatcher_of(real_worker_parts)(taken)
    real_valkey.restore()
    looked = real_worker_parts.sums()
    assert (looked.count("routed"), looked.count("duplicate"), looked.count("undecodable"), looked.waiting) == (2, 1, 1, 0)
    assert len(real_worker_parts.waiting_for("timeline")) == 2
