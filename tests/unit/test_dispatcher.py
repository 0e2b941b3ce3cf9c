"""The dispatcher gives every acknowledged event one outcome, once, whoever dies and whoever helps; on the fake and on the real Valkey."""

import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo

import pytest

from schemas import keys
from schemas.contracts import CONTRACTS
from schemas.events import Event, Provider
from schemas.failures import Reason
from tests.payloads import recorded
from tests.support.event_sums import BUILT_IN, failures
from tests.support.redis_monitor import RedisMonitor
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, refund, status
from workers.dispatcher import Dispatcher, Router
from workers.handler import registered
from workers.valkey.entries import Batch, Entry

HOUR_MS = 3_600_000
CUT_OFF = b'{"event": "fulfillment.picking", "order_id": '


def dispatcher_of(worker_parts: WorkerParts, seen_ms: int = HOUR_MS) -> Callable[[Sequence[Entry]], None]:
    handlers = [each for each in registered() if each.name in BUILT_IN]
    return Dispatcher(worker_parts.store, worker_parts.notifier, Router(handlers), zone=UTC, seen_ms=seen_ms).process


def test_every_event_ends_in_exactly_one_outcome_and_the_sums_hold_at_every_moment(worker_parts: WorkerParts) -> None:
    body = status("a")
    worker_parts.append(body, status("b"), body, CUT_OFF, refund("c", "bread"), status("d", "teleported"))
    assert worker_parts.sums().waiting == 6
    taken = worker_parts.read_new()
    assert worker_parts.sums().waiting == 6
    dispatcher_of(worker_parts)(taken[:3])
    assert worker_parts.sums().waiting == 3
    dispatcher_of(worker_parts)(taken[3:])
    looked = worker_parts.sums()
    assert looked.waiting == 0
    assert looked.counters == {
        "routed": 4,
        "duplicate": 1,
        "undecodable": 1,
        "unrecognised": 1,
        "routed:timeline": 4,
        "routed:refunds": 1,
    }


def test_an_event_goes_to_every_handler_that_wants_it_and_to_no_other(worker_parts: WorkerParts) -> None:
    ids = worker_parts.append(
        recorded("instacart/flat/order_item_refund"), recorded("instacart/envelope/customer_mia"), status("a")
    )
    dispatcher_of(worker_parts)(worker_parts.read_new())
    assert {name: worker_parts.waiting_for(name) for name in BUILT_IN} == {
        "timeline": ids,
        "replacements": [],
        "refunds": ids[:1],
        "late_deliveries": [],
        "customer_mia": ids[1:2],
    }


def test_a_redelivery_reaches_no_handler(worker_parts: WorkerParts) -> None:
    body = recorded("instacart/envelope/order_item_refund")
    first, *_ = worker_parts.append(body, body, body)
    dispatcher_of(worker_parts)(worker_parts.read_new())
    worker_parts.append(body)
    dispatcher_of(worker_parts)(worker_parts.read_new())
    assert worker_parts.sums().count("duplicate") == 3
    assert worker_parts.waiting_for("refunds") == worker_parts.waiting_for("timeline") == [first]


def test_what_was_forgotten_after_the_window_is_handled_again(worker_parts: WorkerParts) -> None:
    body = status("a")
    worker_parts.append(body)
    dispatcher_of(worker_parts, seen_ms=20)(worker_parts.read_new())
    wait_for(lambda: not list(worker_parts.client.scan_iter(f"{keys.SEEN_PREFIX}*")), what="the window to end")
    worker_parts.append(body)
    dispatcher_of(worker_parts)(worker_parts.read_new())
    assert worker_parts.sums().counters == {"routed": 2, "routed:timeline": 2}


def test_a_batch_in_the_hands_of_two_drains_counts_once(worker_parts: WorkerParts) -> None:
    body = status("a")
    worker_parts.append(body, body, CUT_OFF, refund("b", "bread"))
    slow = worker_parts.read_new(consumer="slow")
    quick = worker_parts.store.claim(keys.INBOX, "quick", 0, 100)
    assert quick == slow
    for batch in (quick, slow, quick):
        dispatcher_of(worker_parts)(batch)
        looked = worker_parts.sums()
        assert (looked.count("routed"), looked.count("duplicate"), looked.count("undecodable")) == (2, 1, 1)
    assert len(worker_parts.waiting_for("timeline")) == 2
    assert len(worker_parts.waiting_for("refunds")) == 1


def test_a_slow_drain_whose_batch_was_taken_over_and_finished_counts_nothing(worker_parts: WorkerParts) -> None:
    worker_parts.append(status("first"))
    dispatcher_of(worker_parts)(worker_parts.read_new(consumer="slow"))  # from now on it knows how often entries changed hands
    worker_parts.append(status("a"), CUT_OFF, refund("b", "bread"))
    slow = worker_parts.read_new(consumer="slow")
    assert isinstance(slow, Batch)
    assert slow.taken_over is not None
    quick = worker_parts.store.claim(keys.INBOX, "quick", 0, 100)
    assert quick.taken_over is None
    for batch in (quick, slow):
        dispatcher_of(worker_parts)(batch)
        looked = worker_parts.sums()
        assert (looked.count("routed"), looked.count("undecodable"), looked.waiting) == (3, 1, 0)


def test_what_was_seen_is_remembered_from_one_half_of_the_window_to_the_next(worker_parts: WorkerParts) -> None:
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


def test_a_drain_that_died_before_its_commit_has_done_nothing(worker_parts: WorkerParts) -> None:
    worker_parts.append(status("a"), CUT_OFF)
    worker_parts.read_new(consumer="dead")
    assert worker_parts.sums().waiting == 2
    assert not list(worker_parts.client.scan_iter(f"{keys.SEEN_PREFIX}*"))
    dispatcher_of(worker_parts)(worker_parts.store.claim(keys.INBOX, "alive", 0, 100))
    assert worker_parts.sums().counters == {"routed": 1, "routed:timeline": 1, "undecodable": 1}


def test_drains_side_by_side_count_exactly(worker_parts: WorkerParts) -> None:
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


def test_what_cannot_be_read_is_kept_with_its_bytes_and_its_reason(worker_parts: WorkerParts) -> None:
    bodies = {
        b"\xff\xfe{}": Reason.MALFORMED,
        CUT_OFF: Reason.MALFORMED,
        b'{"order_id": "a"}': Reason.NO_EVENT,
        b'{"event": "fulfillment.picking"}': Reason.NO_ORDER,
        b'{"event": "fulfillment.picking", "order_id": 7}': Reason.WRONG_TYPE,
    }
    ids = worker_parts.append(*bodies)
    worker_parts.append(status("a"))
    stranger = worker_parts.append(status("a"), provider="stranger")
    dispatcher_of(worker_parts)(worker_parts.read_new())
    kept = failures(worker_parts.client)
    assert {name: (kept[f"dispatch:{name}"].body, kept[f"dispatch:{name}"].reason) for name in ids} == dict(
        zip(ids, bodies.items(), strict=True)
    )
    assert kept[f"dispatch:{stranger[0]}"].reason == Reason.UNKNOWN_PROVIDER
    assert all(each.message and each.handler == "dispatch" and each.first_at_ms for each in kept.values())
    assert worker_parts.sums().counters == {"routed": 1, "routed:timeline": 1, "undecodable": 6}


def test_an_event_that_meets_a_bug_in_decoding_stops_nobody_else(
    worker_parts: WorkerParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def newcomer(_body: bytes, _event_id: str, _zone: tzinfo) -> Event:
        raise OverflowError("a number that nobody thought of")

    monkeypatch.setitem(CONTRACTS, "newcomer", CONTRACTS[Provider.INSTACART]._replace(decode=newcomer))
    (bad,) = worker_parts.append(b"{}", provider="newcomer")
    worker_parts.append(status("a"))
    dispatcher_of(worker_parts)(worker_parts.read_new())
    (failure,) = failures(worker_parts.client).values()
    assert (failure.event_id, failure.reason, failure.body) == (bad, Reason.HANDLER_ERROR, b"{}")
    assert "a number that nobody thought of" in str(failure.traceback)
    assert worker_parts.sums().counters == {"routed": 1, "routed:timeline": 1, "undecodable": 1}


def test_an_entry_that_was_deleted_while_a_drain_held_it_is_counted_and_stops_nobody_else(worker_parts: WorkerParts) -> None:
    gone, _ = worker_parts.append(status("a"), status("b"))
    worker_parts.read_new()
    worker_parts.client.xdel(keys.INBOX, gone)
    dispatcher_of(worker_parts)(worker_parts.store.read_own(keys.INBOX, "one", "0", 10))
    (failure,) = failures(worker_parts.client).values()
    assert (failure.event_id, failure.reason) == (gone, Reason.BODY_MISSING)
    assert worker_parts.sums().counters == {"routed": 1, "routed:timeline": 1, "undecodable": 1}


def test_names_nobody_knows_are_on_the_timeline_and_counted_each_for_itself(worker_parts: WorkerParts) -> None:
    names = ["fulfillment.teleported", "fulfillment.teleported", "fulfillment.beamed", f"x{'y' * 150}"]
    bodies = [json.dumps({**json.loads(status("a")), "event": name}).encode() for name in names]
    ids = worker_parts.append(*bodies)
    dispatcher_of(worker_parts)(worker_parts.read_new())
    assert worker_parts.waiting_for("timeline") == ids
    counted = worker_parts.client.hgetall(keys.UNRECOGNISED)
    assert counted == {b"fulfillment.teleported": b"2", b"fulfillment.beamed": b"1", b"x" + b"y" * 99: b"1"}
    assert worker_parts.sums().count("unrecognised") == 4


def test_a_flood_of_made_up_names_does_not_fill_valkey(worker_parts: WorkerParts) -> None:
    worker_parts.client.hset(keys.UNRECOGNISED, mapping={f"name-{number}": 1 for number in range(1000)})
    worker_parts.append(status("a", "another"), status("a", "one.more"))
    dispatcher_of(worker_parts)(worker_parts.read_new())
    assert worker_parts.client.hlen(keys.UNRECOGNISED) == 1001
    assert worker_parts.client.hget(keys.UNRECOGNISED, "(other names)") == b"2"


def test_handlers_are_rung_once_and_only_those_that_got_something_and_wait_for_nothing(worker_parts: WorkerParts) -> None:
    worker_parts.store.set_waiter_flag("timeline", "somebody", 60_000)
    for _ in range(3):
        worker_parts.append(refund("a", "bread"), status("a"))
        dispatcher_of(worker_parts)(worker_parts.read_new())
    assert {name: worker_parts.notifications(name) for name in BUILT_IN if worker_parts.notifications(name)} == {"refunds": 1}


@pytest.mark.parametrize("count", [1, 250])
def test_a_drain_costs_two_round_trips_however_many_events_it_takes(real_worker_parts: WorkerParts, count: int) -> None:
    dispatcher = dispatcher_of(real_worker_parts)
    real_worker_parts.append(status("first"), refund("first", "bread"))
    dispatcher(real_worker_parts.read_new())  # loads the script, rings
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
    expected = {"xack": 1, "hset": 1, "pexpireat": 1, "xadd": 2, "evalsha": 1}
    assert {name: calls.get(name) for name in expected} == expected, "one claim check for each handler, whatever it names"
    assert calls["hmget"] <= 2, "the present half of the window, and the one before if it is there"
    assert sum(calls.values()) <= 25


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


def test_both_providers_share_one_inbox(worker_parts: WorkerParts) -> None:
    worker_parts.append(recorded("afosto/order_opened"), provider=Provider.AFOSTO)
    worker_parts.append(recorded("instacart/flat/picking"))
    dispatcher_of(worker_parts)(worker_parts.read_new())
    assert worker_parts.sums().counters == {"routed": 2, "routed:timeline": 2}


def test_a_claim_check_names_no_more_events_than_a_handler_takes_at_once(worker_parts: WorkerParts) -> None:
    ids = worker_parts.append(*(status(f"order-{number}") for number in range(600)))
    dispatcher_of(worker_parts)(worker_parts.read_new())
    checks = [fields[keys.FIELD_EVENT].split() for _, fields in worker_parts.client.xrange(keys.todo("timeline"))]
    assert [len(check) for check in checks] == [512, 88]
    assert worker_parts.waiting_for("timeline") == ids
