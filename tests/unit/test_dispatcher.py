"""The dispatcher gives every acknowledged event exactly one outcome; on fakeredis and Valkey."""

import json
from datetime import tzinfo

import pytest

from schemas import keys
from schemas.contracts import CONTRACTS
from schemas.events import Event, Provider
from schemas.failures import Reason
from tests.payloads import recorded
from tests.support.event_sums import BUILT_IN, failures
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, refund, status
from tests.unit.dispatching import CUT_OFF, dispatcher_of


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


def test_an_event_is_routed_to_every_handler_of_its_kind_and_to_no_other(worker_parts: WorkerParts) -> None:
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


def test_a_redelivery_after_the_deduplication_window_is_handled_again(worker_parts: WorkerParts) -> None:
    body = status("a")
    worker_parts.append(body)
    dispatcher_of(worker_parts, seen_ms=20)(worker_parts.read_new())
    wait_for(lambda: not list(worker_parts.client.scan_iter(f"{keys.SEEN_PREFIX}*")), what="the window to end")
    worker_parts.append(body)
    dispatcher_of(worker_parts)(worker_parts.read_new())
    assert worker_parts.sums().counters == {"routed": 2, "routed:timeline": 2}


def test_a_decode_error_is_kept_with_its_bytes_and_its_reason(worker_parts: WorkerParts) -> None:
    bodies = {
        b"\xff\xfe{}": Reason.MALFORMED,
        CUT_OFF: Reason.MALFORMED,
        b'{"order_id": "a"}': Reason.NO_EVENT,
        b'{"event": "fulfillment.picking"}': Reason.NO_ORDER,
        b'{"event": "fulfillment.picking", "order_id": [7]}': Reason.WRONG_TYPE,
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


def test_an_unexpected_error_in_decoding_does_not_stop_other_events(
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


def test_an_entry_deleted_while_pending_is_counted_and_does_not_stop_others(worker_parts: WorkerParts) -> None:
    gone, _ = worker_parts.append(status("a"), status("b"))
    worker_parts.read_new()
    worker_parts.client.xdel(keys.INBOX, gone)
    dispatcher_of(worker_parts)(worker_parts.store.read_own(keys.INBOX, "one", "0", 10))
    (failure,) = failures(worker_parts.client).values()
    assert (failure.event_id, failure.reason) == (gone, Reason.BODY_MISSING)
    assert worker_parts.sums().counters == {"routed": 1, "routed:timeline": 1, "undecodable": 1}


def test_unknown_event_names_are_on_the_timeline_and_counted_by_name(worker_parts: WorkerParts) -> None:
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


def test_only_handlers_with_new_events_and_no_waiting_consumer_are_notified_once(worker_parts: WorkerParts) -> None:
    worker_parts.store.set_waiter_flag("timeline", "somebody", 60_000)
    for _ in range(3):
        worker_parts.append(refund("a", "bread"), status("a"))
        dispatcher_of(worker_parts)(worker_parts.read_new())
    assert {name: worker_parts.notifications(name) for name in BUILT_IN if worker_parts.notifications(name)} == {"refunds": 1}


def test_both_providers_share_one_inbox(worker_parts: WorkerParts) -> None:
    worker_parts.append(recorded("afosto/order_opened"), provider=Provider.AFOSTO)
    worker_parts.append(recorded("instacart/flat/picking"))
    dispatcher_of(worker_parts)(worker_parts.read_new())
    assert worker_parts.sums().counters == {"routed": 2, "routed:timeline": 2}


def test_a_claim_check_names_no_more_events_than_a_handler_s_batch_size(worker_parts: WorkerParts) -> None:
    ids = worker_parts.append(*(status(f"order-{number}") for number in range(600)))
    dispatcher_of(worker_parts)(worker_parts.read_new())
    checks = [fields[keys.FIELD_EVENT].split() for _, fields in worker_parts.client.xrange(keys.todo("timeline"))]
    assert [len(check) for check in checks] == [512, 88]
    assert worker_parts.waiting_for("timeline") == ids
