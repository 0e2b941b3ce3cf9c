"""Alerts say how old their news is; news that is older than `ALERT_MAX_AGE` when it is handled is recorded, and nobody is called."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from schemas.events import Event, Kind
from schemas.settings import load
from tests.contract.handler_events import ORDER, at, event
from tests.support.ledger_fixture import HANDLERS, LedgerFixture, open_ledger_fixture
from tests.support.settings import environment_for_tests
from workers.handlers.customer_mia import customer_mia
from workers.handlers.late_deliveries import late_deliveries
from workers.ledger.outbox import channels_of
from workers.monitoring.outbox_status import read_outbox
from workers.testing import MemoryLedger

MIA, LATE = Kind.CUSTOMER_MIA, Kind.LATE_DELIVERY
TWO_CHANNELS = {"ALERT_URLS": "json://127.0.0.1:1/a"}


@pytest.fixture
def ledger(migrated_ledger_url: str) -> Iterator[LedgerFixture]:
    """A ledger with two channels that calls nobody for news older than two hours."""
    with open_ledger_fixture(migrated_ledger_url, ALERT_MAX_AGE="2h", **TWO_CHANNELS) as ledger:
        yield ledger


def handled_at(ledger: LedgerFixture, minutes: float, *events: Event) -> list[dict[str, Any]]:
    """Handle the events at this minute; the rows of the outbox after it."""
    ledger.now = at(minutes)
    ledger.apply_each(*events)
    return ledger.rows("outbox")


@pytest.mark.parametrize(
    ("age", "said"),
    [(0, ""), (0.99, ""), (1, "1 min"), (4.5, "4 min"), (119, "119 min"), (120, "2 h"), (47 * 60, "47 h"), (49 * 60, "2 days")],
)
def test_an_alert_says_its_age_in_title_and_payload(ledger_fixture: LedgerFixture, age: float, said: str) -> None:
    rows = handled_at(ledger_fixture, age, event(MIA, 0), event(LATE, 0, "b"))
    suffix = f" (reported {said} ago)" if said else ""
    assert [row["title"] for row in rows] == [
        f"Customer of order {ORDER} cannot be found{suffix}",
        f"Order b will be late by an unknown time{suffix}",
    ]
    for row in rows:
        payload = orjson.loads(row["payload"])
        assert (payload["age_seconds"], payload["occurred_at"]) == (int(age * 60), at(0).isoformat())


def test_an_age_is_never_negative(ledger_fixture: LedgerFixture) -> None:
    for row in handled_at(ledger_fixture, -5, event(MIA, 0), event(LATE, 0, "b")):
        assert orjson.loads(row["payload"])["age_seconds"] == 0


def test_what_is_too_old_when_handled_is_recorded_and_calls_nobody(
    ledger: LedgerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "curbside.workers"):
        rows = handled_at(ledger, 121, event(MIA, 0), event(LATE, 0, "b", promised_at=at(60)))
    assert len(rows) == 4, "two alerts, two channels"
    for row in rows:
        assert (row["dropped"], row["sent_at"], row["attempts"], row["leased_until"]) == (True, at(121), 0, None)
        assert row["last_error"] == "not sent: 2 h old when handled, ALERT_MAX_AGE is 2h"
    assert [row["closed_at"] for row in ledger.rows("customer_mia_alerts")] == [None]
    assert ledger.row("late_deliveries", "b")["expected_at"] == at(60)
    lines = [record.getMessage() for record in caplog.records if record.name == "curbside.workers"]
    assert [line.partition(" (")[0] for line in lines] == [
        f"alert not sent: Customer of order {ORDER} cannot be found",
        "alert not sent: Order b will be late by an unknown time",
    ]
    assert (found := read_outbox(ledger.ledger, at(121))).too_old == 4
    assert (found.sent, found.waiting) == (0, 0)


def test_at_the_limit_people_are_called(ledger: LedgerFixture) -> None:
    assert {row["dropped"] for row in handled_at(ledger, 120, event(MIA, 0), event(LATE, 0))} == {False}


def test_0_calls_whatever_the_age(ledger_fixture: LedgerFixture) -> None:
    assert {row["dropped"] for row in handled_at(ledger_fixture, 10**6, event(MIA, 0), event(LATE, 0))} == {False}


def test_the_age_counts_from_the_time_that_orders_the_event(ledger: LedgerFixture) -> None:
    report = event(MIA, -(10**9))
    assert report.occurred_at.year < 2000
    assert {row["dropped"] for row in handled_at(ledger, 601, report)} == {False}, "a time that means nothing is receipt"


def test_a_fresh_report_of_an_alert_that_was_too_old_calls_once_under_its_key(ledger: LedgerFixture) -> None:
    first, again, third = event(MIA, 0), event(MIA, 200), event(MIA, 202)
    handled_at(ledger, 190, first)
    rows = handled_at(ledger, 201, again)
    assert {row["idempotency_key"] for row in rows} == {f"customer_mia:instacart:{ORDER}:{first.identity}"}
    assert len(rows) == 2
    for row in rows:
        assert (row["dropped"], row["sent_at"], row["last_error"], row["due_at"]) == (False, None, None, at(201))
        assert row["title"] == f"Customer of order {ORDER} cannot be found (reported 1 min ago)"
    assert ledger.row("customer_mia_alerts")["last_reported_at"] == at(200)
    assert handled_at(ledger, 203, first, third) == rows, "told already"


def test_an_old_and_a_fresh_report_in_one_batch_call(ledger: LedgerFixture) -> None:
    ledger.now = at(201)
    assert ledger.apply("customer_mia", event(MIA, 0), event(MIA, 200))
    assert {(row["dropped"], row["sent_at"]) for row in ledger.rows("outbox")} == {(False, None)}


def test_a_revived_alert_is_leased_to_the_worker_that_revived_it(ledger: LedgerFixture) -> None:
    handled_at(ledger, 190, event(MIA, 0))
    ledger.now = at(201)
    alerts = ledger.ledger.apply(
        HANDLERS["customer_mia"], [event(MIA, 200)], capacity=dict.fromkeys(channels_of(ledger.settings), 16)
    ).alerts
    assert {each.channel for each in alerts.leased} == {row["channel"] for row in ledger.rows("outbox")}
    assert not alerts.waiting
    assert all(row["leased_until"] > at(201) for row in ledger.rows("outbox"))


def test_a_late_delivery_reported_afresh_calls_under_its_own_key(ledger: LedgerFixture) -> None:
    first, again = event(LATE, 0, promised_at=at(60)), event(LATE, 200, promised_at=at(300))
    handled_at(ledger, 190, first)
    handled_at(ledger, 201, again)
    states = {row["idempotency_key"].rpartition(":")[2]: row["dropped"] for row in ledger.rows("outbox")}
    assert states == {first.identity: True, again.identity: False}


def test_a_replay_under_a_longer_limit_sends_what_was_not_sent(migrated_ledger_url: str) -> None:
    late = event(LATE, 0, promised_at=at(60))
    for limit, dropped in (("2h", True), ("0", False)):
        with open_ledger_fixture(migrated_ledger_url, ALERT_MAX_AGE=limit) as ledger:
            (row,) = handled_at(ledger, 190, late)
            assert row["dropped"] is dropped


@pytest.mark.parametrize("limit", ["2h", "0"])
def test_applied_twice_nothing_changes(limit: str) -> None:
    def ago(kind: Kind, minutes: float, order: str = ORDER) -> Event:
        return replace(event(kind, minutes, order), ordered_at=datetime.now(UTC) - timedelta(minutes=minutes))

    with MemoryLedger(ALERT_MAX_AGE=limit) as ledger:
        ledger.apply_twice(customer_mia, ago(MIA, 600), ago(MIA, 1), ago(MIA, 500, "b"))
        ledger.apply_twice(late_deliveries, ago(LATE, 600), ago(LATE, 500, "b"))
        assert {row["dropped"] for row in ledger.rows("outbox")} == ({False} if limit == "0" else {True, False})


def test_the_default_is_two_hours() -> None:
    environment = environment_for_tests()
    del environment["ALERT_MAX_AGE"]
    assert load(environment).alert_max_age == timedelta(hours=2)
