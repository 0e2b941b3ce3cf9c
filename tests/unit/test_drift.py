"""The drift monitor: a finding of one worker is reported once for all, at little cost; on fakeredis and Valkey."""

import json
import logging
from datetime import UTC
from typing import Any

import pytest

from schemas import keys
from schemas.decoding import decode
from schemas.drift import DriftKind
from tests.payloads import recorded
from tests.support.worker_parts import WorkerParts, status
from workers.contract_drift import MIN_ABSENT, PERIOD_SECONDS, SAMPLE_EVERY, DriftMonitor, note_missing, read_drift, reset_drift
from workers.dispatcher import Dispatcher, Router
from workers.event_decoder import EventDecoder
from workers.handler import registered

NAME = "fulfillment.picking"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Watch:
    """One worker's drift alarm, under a clock of the test's."""

    def __init__(self, worker_parts: WorkerParts) -> None:
        self.parts, self.clock = worker_parts, Clock()
        self.drift = DriftMonitor(worker_parts.client, self.clock)

    def see(self, body: bytes, times: int = 1, event_id: str = "1732230000000-0") -> None:
        """Have it see a body so many times in one batch."""
        event = decode("instacart", body, event_id, UTC)
        self.drift.observe([(event, body)] * times)

    def found(self) -> list[tuple[str, str, str, str, int]]:
        self.drift.flush()
        found = read_drift(self.parts.client)
        return [(each.finding.event, each.finding.what, each.finding.path, each.finding.found, each.times) for each in found]


@pytest.fixture
def watch(worker_parts: WorkerParts) -> Watch:
    return Watch(worker_parts)


def with_fields(body: bytes, **fields: Any) -> bytes:
    return json.dumps({**json.loads(body), **fields}).encode()


PICKING = status("fc-1")


def test_bodies_that_follow_the_contract_are_no_drift(watch: Watch) -> None:
    watch.see(recorded("instacart/flat/order_item_refund"))
    assert watch.found() == []


def test_an_unknown_field_is_found_with_the_first_event_and_logged_once(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    body = with_fields(PICKING, aisle="behind the oat milk")
    other = Watch(watch.parts)
    with caplog.at_level(logging.WARNING):
        for each, event_id in ((watch, "1732230000001-0"), (watch, "1732230000002-0"), (other, "1732230000003-0")):
            each.clock.now += PERIOD_SECONDS
            each.see(body, event_id=event_id)
            assert each.found()[0][:4] == (NAME, DriftKind.UNKNOWN_FIELD, "$.aisle", "string")
    (found,) = read_drift(watch.parts.client)
    assert (found.times, found.finding.first_event_id) == (3, "1732230000001-0")
    assert caplog.text.count("drift: instacart fulfillment.picking: unknown_field $.aisle (string)") == 1
    assert "behind the oat milk" not in caplog.text


def test_an_unknown_name_is_found_under_itself_and_its_fields_with_all_unrecognised(watch: Watch) -> None:
    watch.see(with_fields(status("fc-1", "teleported"), aisle=1))
    watch.clock.now += 1
    watch.see(status("fc-1", "Jane Roe, Keizersgracht 123"), times=5)
    assert watch.found() == [
        ("(another name)", DriftKind.UNKNOWN_EVENT, "$", "object", 5),
        ("fulfillment.teleported", DriftKind.UNKNOWN_EVENT, "$", "object", 1),
        ("unrecognised", DriftKind.UNKNOWN_FIELD, "$.aisle", "number", 1),
    ]


def test_every_body_is_checked_at_low_load_and_few_at_high_load(watch: Watch) -> None:
    drifted = with_fields(PICKING, aisle=1)
    for _ in range(20):
        watch.clock.now += PERIOD_SECONDS
        watch.see(drifted)
    assert watch.found()[0][4] == 20
    watch.see(drifted, times=256)
    assert watch.found()[0][4] == 20 + 256 // SAMPLE_EVERY
    watch.clock.now += PERIOD_SECONDS
    watch.see(with_fields(status("fc-1", "staging"), shelf=1), times=256)
    assert ("fulfillment.staging", DriftKind.UNKNOWN_FIELD, "$.shelf", "number", 1 + 256 // SAMPLE_EVERY) in watch.found()


def test_a_field_that_no_longer_comes_is_reported_once(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    def see(body: bytes, times: int) -> None:
        for _ in range(times):
            watch.clock.now += PERIOD_SECONDS
            watch.see(body)
        watch.drift.flush()
        note_missing(watch.parts.client, 0)

    see(with_fields(PICKING, status="picking"), 30)
    see(PICKING, MIN_ABSENT - 1)
    assert read_drift(watch.parts.client) == []
    with caplog.at_level(logging.WARNING):
        see(PICKING, 2)
        see(PICKING, 5)
    assert watch.found() == [(NAME, DriftKind.MISSING_FIELD, "$.status", "nothing", MIN_ABSENT + 6)]
    assert caplog.text.count("missing_field $.status") == 1


def test_an_occasional_field_is_never_reported_missing(watch: Watch) -> None:
    for number in range(300):
        watch.clock.now += PERIOD_SECONDS
        watch.see(with_fields(PICKING, status="picking") if number < 150 and number % 2 else PICKING)
        if number % 30 == 0:
            watch.drift.flush()
    watch.drift.flush()
    note_missing(watch.parts.client, 0)
    assert read_drift(watch.parts.client) == []


def test_a_flood_of_made_up_fields_does_not_fill_valkey(watch: Watch) -> None:
    watch.parts.client.hset(keys.DRIFT, mapping={f"finding-{number}": "{}" for number in range(1000)})
    watch.see(with_fields(PICKING, aisle=1))
    watch.drift.flush()
    assert watch.parts.client.hlen(keys.DRIFT) == 1000
    reset_drift(watch.parts.client)
    assert watch.found() == []


def test_the_dispatcher_passes_its_events_to_the_drift_monitor(watch: Watch) -> None:
    handlers = [each for each in registered() if each.name == "timeline"]
    dispatcher = Dispatcher(
        watch.parts.store, watch.parts.notifier, Router(handlers), decoder=EventDecoder(UTC), seen_ms=60_000, drift=watch.drift
    )
    watch.parts.append(with_fields(PICKING, aisle=1), b"{", with_fields(status("b"), aisle=1))
    dispatcher.process(watch.parts.read_new())
    assert watch.found() == [(NAME, DriftKind.UNKNOWN_FIELD, "$.aisle", "number", 1)]


@pytest.mark.parametrize(
    "unread", [b"1e400", b'"\xff"', b"9" * 5000, b"[" * 900 + b"]" * 900], ids=["number", "bytes", "digits", "depth"]
)
def test_a_partly_readable_body_does_not_affect_others(watch: Watch, unread: bytes) -> None:
    placed = b'{"event_name":"picking","event_id":1,"event_timestamp":"2024-11-22T16:31:40Z","event_metadata":{"order_id":"o"},"tip":%s}'
    watch.see(placed % unread)
    watch.see(with_fields(PICKING, aisle="behind the oat milk"))
    assert (NAME, "unknown_field", "$.aisle", "string", 1) in watch.found()
