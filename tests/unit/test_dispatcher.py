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
from tests.support.outcomes import BUILT_IN, failures
from tests.support.parts import Parts, refund, status
from tests.support.valkey import RealValkey
from tests.support.waiting import wait_for
from tests.support.wiretap import Wiretap
from workers.dispatcher import Dispatcher, Router
from workers.handler import registered
from workers.valkey.entries import Batch, Entry

HOUR_MS = 3_600_000
CUT_OFF = b'{"event": "fulfillment.picking", "order_id": '


def dispatcher_of(parts: Parts, seen_ms: int = HOUR_MS) -> Callable[[Sequence[Entry]], None]:
    handlers = [each for each in registered() if each.name in BUILT_IN]
    return Dispatcher(parts.store, parts.notifier, Router(handlers), zone=UTC, seen_ms=seen_ms).process


def test_every_event_ends_in_exactly_one_outcome_and_the_sums_hold_at_every_moment(parts: Parts) -> None:
    body = status("a")
    parts.append(body, status("b"), body, CUT_OFF, refund("c", "bread"), status("d", "teleported"))
    assert parts.sums().waiting == 6
    taken = parts.take()
    assert parts.sums().waiting == 6
    dispatcher_of(parts)(taken[:3])
    assert parts.sums().waiting == 3
    dispatcher_of(parts)(taken[3:])
    looked = parts.sums()
    assert looked.waiting == 0
    assert looked.counters == {
        "routed": 4,
        "duplicate": 1,
        "undecodable": 1,
        "unrecognised": 1,
        "routed:timeline": 4,
        "routed:refunds": 1,
    }


def test_an_event_goes_to_every_handler_that_wants_it_and_to_no_other(parts: Parts) -> None:
    ids = parts.append(recorded("instacart/flat/order_item_refund"), recorded("instacart/envelope/customer_mia"), status("a"))
    dispatcher_of(parts)(parts.take())
    assert {name: parts.waiting_for(name) for name in BUILT_IN} == {
        "timeline": ids,
        "replacements": [],
        "refunds": ids[:1],
        "late_deliveries": [],
        "customer_mia": ids[1:2],
    }


def test_a_redelivery_reaches_no_handler(parts: Parts) -> None:
    body = recorded("instacart/envelope/order_item_refund")
    first, *_ = parts.append(body, body, body)
    dispatcher_of(parts)(parts.take())
    parts.append(body)
    dispatcher_of(parts)(parts.take())
    assert parts.sums().count("duplicate") == 3
    assert parts.waiting_for("refunds") == parts.waiting_for("timeline") == [first]


def test_what_was_forgotten_after_the_window_is_handled_again(parts: Parts) -> None:
    body = status("a")
    parts.append(body)
    dispatcher_of(parts, seen_ms=20)(parts.take())
    wait_for(lambda: not list(parts.client.scan_iter(f"{keys.SEEN_PREFIX}*")), what="the window to end")
    parts.append(body)
    dispatcher_of(parts)(parts.take())
    assert parts.sums().counters == {"routed": 2, "routed:timeline": 2}


def test_a_batch_in_the_hands_of_two_drains_counts_once(parts: Parts) -> None:
    body = status("a")
    parts.append(body, body, CUT_OFF, refund("b", "bread"))
    slow = parts.take(consumer="slow")
    quick = parts.store.claim(keys.INBOX, "quick", 0, 100)
    assert quick == slow
    for batch in (quick, slow, quick):
        dispatcher_of(parts)(batch)
        looked = parts.sums()
        assert (looked.count("routed"), looked.count("duplicate"), looked.count("undecodable")) == (2, 1, 1)
    assert len(parts.waiting_for("timeline")) == 2
    assert len(parts.waiting_for("refunds")) == 1


def test_a_slow_drain_whose_batch_was_taken_over_and_finished_counts_nothing(parts: Parts) -> None:
    parts.append(status("first"))
    dispatcher_of(parts)(parts.take(consumer="slow"))  # from now on it knows how often entries changed hands
    parts.append(status("a"), CUT_OFF, refund("b", "bread"))
    slow = parts.take(consumer="slow")
    assert isinstance(slow, Batch)
    assert slow.taken_over is not None
    quick = parts.store.claim(keys.INBOX, "quick", 0, 100)
    assert quick.taken_over is None
    for batch in (quick, slow):
        dispatcher_of(parts)(batch)
        looked = parts.sums()
        assert (looked.count("routed"), looked.count("undecodable"), looked.waiting) == (3, 1, 0)


def test_what_was_seen_is_remembered_from_one_half_of_the_window_to_the_next(parts: Parts) -> None:
    seen_ms, body = 3_000, status("a")
    parts.append(body)
    dispatcher_of(parts, seen_ms)(parts.take())

    def halves() -> set[str]:
        return {key.decode() for key in parts.client.scan_iter(f"{keys.SEEN_PREFIX}*")}

    (first,) = halves()

    def another_half_has_begun() -> bool:
        parts.append(status("b"))
        dispatcher_of(parts, seen_ms)(parts.take())
        return halves() > {first}

    wait_for(another_half_has_begun, what="the next half of the window")
    parts.append(body)
    dispatcher_of(parts, seen_ms)(parts.take())
    assert parts.sums().count("duplicate") == 1


def test_a_drain_that_died_before_its_commit_has_done_nothing(parts: Parts) -> None:
    parts.append(status("a"), CUT_OFF)
    parts.take(consumer="dead")
    assert parts.sums().waiting == 2
    assert not list(parts.client.scan_iter(f"{keys.SEEN_PREFIX}*"))
    dispatcher_of(parts)(parts.store.claim(keys.INBOX, "alive", 0, 100))
    assert parts.sums().counters == {"routed": 1, "routed:timeline": 1, "undecodable": 1}


def test_drains_side_by_side_count_exactly(parts: Parts) -> None:
    bodies = [status(f"order-{number}") for number in range(200)]
    parts.append(*bodies, *bodies, *[CUT_OFF] * 20)
    parts.store.ensure_groups([keys.INBOX])

    def work(consumer: str) -> None:
        dispatcher = dispatcher_of(parts)
        while batch := parts.store.read(keys.INBOX, consumer, 7):
            dispatcher(batch)

    threads = [threading.Thread(target=work, args=(f"dispatcher-{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    looked = parts.sums()
    assert looked.counters == {"routed": 200, "routed:timeline": 200, "duplicate": 200, "undecodable": 20}
    assert len(set(parts.waiting_for("timeline"))) == 200


def test_what_cannot_be_read_is_kept_with_its_bytes_and_its_reason(parts: Parts) -> None:
    bodies = {
        b"\xff\xfe{}": Reason.MALFORMED,
        CUT_OFF: Reason.MALFORMED,
        b'{"order_id": "a"}': Reason.NO_EVENT,
        b'{"event": "fulfillment.picking"}': Reason.NO_ORDER,
        b'{"event": "fulfillment.picking", "order_id": 7}': Reason.WRONG_TYPE,
    }
    ids = parts.append(*bodies)
    parts.append(status("a"))
    stranger = parts.append(status("a"), provider="stranger")
    dispatcher_of(parts)(parts.take())
    kept = failures(parts.client)
    assert {name: (kept[f"dispatch:{name}"].body, kept[f"dispatch:{name}"].reason) for name in ids} == dict(
        zip(ids, bodies.items(), strict=True)
    )
    assert kept[f"dispatch:{stranger[0]}"].reason == Reason.UNKNOWN_PROVIDER
    assert all(each.message and each.handler == "dispatch" and each.first_at_ms for each in kept.values())
    assert parts.sums().counters == {"routed": 1, "routed:timeline": 1, "undecodable": 6}


def test_an_event_that_meets_a_bug_in_decoding_stops_nobody_else(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def newcomer(_body: bytes, _event_id: str, _zone: tzinfo) -> Event:
        raise OverflowError("a number that nobody thought of")

    monkeypatch.setitem(CONTRACTS, "newcomer", CONTRACTS[Provider.INSTACART]._replace(decode=newcomer))
    (bad,) = parts.append(b"{}", provider="newcomer")
    parts.append(status("a"))
    dispatcher_of(parts)(parts.take())
    (failure,) = failures(parts.client).values()
    assert (failure.event_id, failure.reason, failure.body) == (bad, Reason.HANDLER_ERROR, b"{}")
    assert "a number that nobody thought of" in str(failure.traceback)
    assert parts.sums().counters == {"routed": 1, "routed:timeline": 1, "undecodable": 1}


def test_an_entry_that_was_deleted_while_a_drain_held_it_is_counted_and_stops_nobody_else(parts: Parts) -> None:
    gone, _ = parts.append(status("a"), status("b"))
    parts.take()
    parts.client.xdel(keys.INBOX, gone)
    dispatcher_of(parts)(parts.store.read_own(keys.INBOX, "one", "0", 10))
    (failure,) = failures(parts.client).values()
    assert (failure.event_id, failure.reason) == (gone, Reason.BODY_MISSING)
    assert parts.sums().counters == {"routed": 1, "routed:timeline": 1, "undecodable": 1}


def test_names_nobody_knows_are_on_the_timeline_and_counted_each_for_itself(parts: Parts) -> None:
    names = ["fulfillment.teleported", "fulfillment.teleported", "fulfillment.beamed", f"x{'y' * 150}"]
    bodies = [json.dumps({**json.loads(status("a")), "event": name}).encode() for name in names]
    ids = parts.append(*bodies)
    dispatcher_of(parts)(parts.take())
    assert parts.waiting_for("timeline") == ids
    counted = parts.client.hgetall(keys.UNRECOGNISED)
    assert counted == {b"fulfillment.teleported": b"2", b"fulfillment.beamed": b"1", b"x" + b"y" * 99: b"1"}
    assert parts.sums().count("unrecognised") == 4


def test_a_flood_of_made_up_names_does_not_fill_valkey(parts: Parts) -> None:
    parts.client.hset(keys.UNRECOGNISED, mapping={f"name-{number}": 1 for number in range(1000)})
    parts.append(status("a", "another"), status("a", "one.more"))
    dispatcher_of(parts)(parts.take())
    assert parts.client.hlen(keys.UNRECOGNISED) == 1001
    assert parts.client.hget(keys.UNRECOGNISED, "(other names)") == b"2"


def test_handlers_are_rung_once_and_only_those_that_got_something_and_wait_for_nothing(parts: Parts) -> None:
    parts.store.set_waiter_flag("timeline", "somebody", 60_000)
    for _ in range(3):
        parts.append(refund("a", "bread"), status("a"))
        dispatcher_of(parts)(parts.take())
    assert {name: parts.rung(name) for name in BUILT_IN if parts.rung(name)} == {"refunds": 1}


@pytest.mark.parametrize("count", [1, 250])
def test_a_drain_costs_two_round_trips_however_many_events_it_takes(real_parts: Parts, count: int) -> None:
    dispatcher = dispatcher_of(real_parts)
    real_parts.append(status("first"), refund("first", "bread"))
    dispatcher(real_parts.take())  # loads the script, rings
    real_parts.append(*(refund(f"order-{number}", "bread") for number in range(count)))
    with Wiretap(real_parts.url) as wiretap:
        batch = real_parts.store.read(keys.INBOX, "one", 1000)
        dispatcher(batch)
    assert len(batch) == count
    assert [command.partition(" ")[0] for command in wiretap.commands] == ["XREADGROUP", "EVALSHA"]


@pytest.mark.parametrize("count", [1, 250])
def test_within_the_commit_the_number_of_commands_does_not_grow_with_the_events(real_parts: Parts, count: int) -> None:
    dispatcher = dispatcher_of(real_parts)
    real_parts.append(status("first"), refund("first", "bread"))
    dispatcher(real_parts.take())
    real_parts.append(*(refund(f"order-{number}", "bread") for number in range(count)))
    batch = real_parts.take()
    real_parts.client.config_resetstat()
    dispatcher(batch)
    stats = real_parts.client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): stats[name]["calls"] for name in stats}
    expected = {"xack": 1, "hset": 1, "pexpireat": 1, "xadd": 2, "evalsha": 1}
    assert {name: calls.get(name) for name in expected} == expected, "one claim check for each handler, whatever it names"
    assert calls["hmget"] <= 2, "the present half of the window, and the one before if it is there"
    assert sum(calls.values()) <= 25


def test_a_valkey_without_memory_left_loses_nothing_in_the_middle_of_a_commit(
    real_valkey: RealValkey, real_parts: Parts
) -> None:
    body = status("a")
    real_parts.append(body, body, CUT_OFF, refund("b", "bread"))
    taken = real_parts.take()
    real_parts.client.config_set("maxmemory", 1)
    dispatcher_of(real_parts)(taken)
    real_valkey.restore()
    looked = real_parts.sums()
    assert (looked.count("routed"), looked.count("duplicate"), looked.count("undecodable"), looked.waiting) == (2, 1, 1, 0)
    assert len(real_parts.waiting_for("timeline")) == 2


def test_both_providers_share_one_inbox(parts: Parts) -> None:
    parts.append(recorded("afosto/order_opened"), provider=Provider.AFOSTO)
    parts.append(recorded("instacart/flat/picking"))
    dispatcher_of(parts)(parts.take())
    assert parts.sums().counters == {"routed": 2, "routed:timeline": 2}


def test_a_claim_check_names_no_more_events_than_a_handler_takes_at_once(parts: Parts) -> None:
    ids = parts.append(*(status(f"order-{number}") for number in range(600)))
    dispatcher_of(parts)(parts.take())
    checks = [fields[keys.FIELD_EVENT].split() for _, fields in parts.client.xrange(keys.todo("timeline"))]
    assert [len(check) for check in checks] == [512, 88]
    assert parts.waiting_for("timeline") == ids
