"""Late deliveries: minutes late against the time promised then, and when an alert is written."""

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import orjson
import pytest

from schemas.decoding import decode
from schemas.events import Event, Kind, Window
from tests.contract.handler_events import ORDER, at, event
from tests.support.ledger_fixture import LedgerFixture, open_ledger_fixture

LATE = Kind.LATE_DELIVERY


def flat(minutes: float, expected: float | None, order: str = ORDER) -> Event:
    """A late delivery that says the new estimate only."""
    return event(LATE, minutes, order, promised_at=None if expected is None else at(expected))


def windows(minutes: float, old: Window | None, new: Window | None) -> Event:
    """A late delivery that says the old and the new window."""
    stands = new or old
    return event(LATE, minutes, window=old, new_window=new, promised_at=stands and (stands.ends_at or stands.starts_at))


def promise(minutes: float, promised: float, kind: Kind = Kind.ORDER_CREATED, order: str = ORDER) -> Event:
    """An event that promises the delivery by then."""
    return event(kind, minutes, order, promised_at=at(promised))


def test_a_moved_window_gives_its_own_lateness(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(windows(1, Window(at(60), at(90)), Window(at(80), at(110))))
    row = ledger_fixture.row("late_deliveries")
    assert (row["old_window_starts_at"], row["old_window_ends_at"]) == (at(60), at(90))
    assert (row["new_window_starts_at"], row["new_window_ends_at"]) == (at(80), at(110))
    assert (row["promised_at"], row["expected_at"], row["minutes_late"]) == (at(90), at(110), 20)
    assert ledger_fixture.alerts() == [f"Order {ORDER} will be late by 20 minutes"]


@pytest.mark.parametrize(
    ("old", "new", "minutes"),
    [
        (Window(at(90), at(60)), Window(at(110), at(80)), 20),
        (Window(None, at(60)), Window(at(75), None), 15),
        (Window(at(60), None), Window(None, at(60)), 0),
        (Window(at(60), at(90)), Window(at(10), at(20)), -70),
        (Window(at(60), at(90)), None, None),
        (None, Window(at(60), at(90)), None),
        (None, None, None),
        (Window(datetime.min.replace(tzinfo=ZoneInfo("UTC")), None), Window(None, datetime.max.replace(tzinfo=ZoneInfo("UTC"))), None),
    ],
    ids=["ends before they start", "half of each", "no later", "earlier", "old only", "new only", "none", "all of time"],
)  # fmt: skip
def test_an_invalid_window_is_kept_as_sent(
    ledger_fixture: LedgerFixture, old: Window | None, new: Window | None, minutes: int | None
) -> None:
    ledger_fixture.apply_each(windows(1, old, new))
    row = ledger_fixture.row("late_deliveries")
    assert row["minutes_late"] == minutes
    assert (row["old_window_starts_at"], row["new_window_ends_at"]) == (old and old.starts_at, new and new.ends_at)


def test_an_estimate_is_compared_with_the_promised_time(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(promise(0, 60), flat(10, 90))
    row = ledger_fixture.row("late_deliveries")
    assert (row["promised_at"], row["expected_at"], row["minutes_late"]) == (at(60), at(90), 30)


def test_an_estimate_that_arrives_before_the_promise_is_compared_when_the_promise_arrives(
    ledger_fixture: LedgerFixture,
) -> None:
    late = flat(10, 90)
    ledger_fixture.apply_each(late)
    assert ledger_fixture.row("late_deliveries")["minutes_late"] is None
    assert ledger_fixture.alerts() == [f"Order {ORDER} will be late by an unknown time"]
    ledger_fixture.apply_each(promise(0, 60))
    assert ledger_fixture.row("late_deliveries")["minutes_late"] == 30
    assert len(ledger_fixture.alerts()) == 1


def test_lateness_is_compared_with_the_promise_of_that_time_not_a_later_one(ledger_fixture: LedgerFixture) -> None:
    for order, arrivals in enumerate(itertools.permutations(range(4))):
        name = f"fc-{order}"
        story = [
            promise(0, 60, order=name),
            promise(5, 70, Kind.RESCHEDULED, name),
            flat(10, 90, name),
            promise(20, 200, Kind.RESCHEDULED, name),
        ]
        ledger_fixture.apply_each(*(story[number] for number in arrivals))
        row = ledger_fixture.row("late_deliveries", name)
        assert (row["promised_at"], row["minutes_late"]) == (at(70), 20)
        assert ledger_fixture.row("orders", name)["promised_at"] == at(200)


def test_the_newest_lateness_wins_in_whatever_order_they_arrive(ledger_fixture: LedgerFixture) -> None:
    for order, arrivals in enumerate(itertools.permutations(range(3))):
        name = f"fc-{order}"
        story = [promise(0, 60, order=name), flat(10, 90, name), flat(20, 80, name)]
        ledger_fixture.apply_each(*(story[number] for number in arrivals))
        row = ledger_fixture.row("late_deliveries", name)
        assert (row["occurred_at"], row["event_id"], row["minutes_late"]) == (at(20), story[2].event_id, 20)


def test_an_older_lateness_that_arrives_late_writes_no_alert(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(promise(0, 60), flat(20, 61), flat(10, 120))
    assert ledger_fixture.alerts() == []


def told_keys(ledger_fixture: LedgerFixture) -> list[str]:
    return [row["idempotency_key"] for row in ledger_fixture.rows("outbox")]


def test_an_earlier_promise_that_the_timeline_handles_after_the_lateness_alerts_under_its_key(
    ledger_fixture: LedgerFixture,
) -> None:
    ledger_fixture.apply_each(promise(0, 120))
    earlier, late = promise(5, 60, Kind.RESCHEDULED), flat(10, 125)
    ledger_fixture.apply("late_deliveries", late)
    assert (ledger_fixture.row("late_deliveries")["minutes_late"], told_keys(ledger_fixture)) == (5, [])
    assert ledger_fixture.apply("timeline", earlier, late)
    assert ledger_fixture.row("late_deliveries")["minutes_late"] == 65
    assert told_keys(ledger_fixture) == [f"late_delivery:instacart:{ORDER}:{late.identity}"]
    assert ledger_fixture.alerts() == [f"Order {ORDER} will be late by 65 minutes"]
    ledger_fixture.apply("timeline", earlier, late)
    ledger_fixture.apply("late_deliveries", late)
    assert len(ledger_fixture.alerts()) == 1


@pytest.mark.parametrize("end", [Kind.DELIVERED, Kind.CANCELED])
def test_an_earlier_promise_makes_no_order_late_that_is_over(ledger_fixture: LedgerFixture, end: Kind) -> None:
    ledger_fixture.apply_each(promise(0, 120), flat(10, 125), event(end, 11), promise(5, 60, Kind.RESCHEDULED))
    assert ledger_fixture.row("late_deliveries")["minutes_late"] == 65
    assert ledger_fixture.alerts() == []


def test_an_earlier_promise_that_makes_it_a_little_late_alerts_nobody(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(promise(0, 120), flat(10, 125), promise(5, 111, Kind.RESCHEDULED))
    assert (ledger_fixture.row("late_deliveries")["minutes_late"], ledger_fixture.alerts()) == (14, [])


@pytest.mark.parametrize(("minutes", "is_told"), [(14, False), (14.99, False), (15, True), (16, True)])
def test_an_alert_is_written_at_the_threshold_and_above(ledger_fixture: LedgerFixture, minutes: float, is_told: bool) -> None:
    ledger_fixture.apply_each(promise(0, 60), flat(10, 60 + minutes))
    assert bool(ledger_fixture.alerts()) is is_told


def test_the_threshold_can_be_set(migrated_ledger_url: str) -> None:
    with open_ledger_fixture(migrated_ledger_url, LATE_ALERT_MINUTES="45") as ledger_fixture:
        ledger_fixture.apply_each(promise(0, 60), flat(10, 104))
        assert ledger_fixture.alerts() == []
        ledger_fixture.apply_each(flat(11, 105))
        assert ledger_fixture.alerts() == [f"Order {ORDER} will be late by 45 minutes"]


@pytest.mark.parametrize("end", [Kind.DELIVERED, Kind.CANCELED])
def test_a_finished_order_gets_no_late_alert(ledger_fixture: LedgerFixture, end: Kind) -> None:
    ledger_fixture.apply_each(promise(0, 60), event(end, 30), flat(10, 200))
    assert ledger_fixture.row("late_deliveries")["minutes_late"] == 140
    assert ledger_fixture.alerts() == []


def test_a_late_order_that_was_delivered_before_gets_an_alert(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(promise(0, 60), event(Kind.DELIVERED, 30), flat(40, 200))
    assert len(ledger_fixture.alerts()) == 1


def test_the_same_lateness_is_alerted_once(ledger_fixture: LedgerFixture) -> None:
    late = flat(10, 200)
    ledger_fixture.apply_each(late, late)
    ledger_fixture.apply("late_deliveries", late, late)
    assert len(ledger_fixture.alerts()) == 1


def test_windows_without_a_zone_are_in_the_store_s_time_zone(ledger_fixture: LedgerFixture) -> None:
    body = {
        "event_name": "fulfillment.late_delivery",
        "event_id": 1201895966044343904,
        "event_timestamp": "2026-07-01 12:00:00",
        "event_metadata": {
            "order_id": ORDER,
            "delivery_window": {"starts_at": "2026-07-01 14:00:00", "ends_at": "2026-07-01 15:00:00"},
            "new_window": {"starts_at": "2026-07-01 15:00:00", "ends_at": "2026-07-01T14:00:00Z"},
        },
    }
    ledger_fixture.apply_each(decode("instacart", orjson.dumps(body), "1782900000000-0", ZoneInfo("Europe/Amsterdam")))
    row = ledger_fixture.row("late_deliveries")
    assert row["occurred_at"] == datetime(2026, 7, 1, 10, tzinfo=ZoneInfo("UTC"))
    assert row["old_window_ends_at"] == datetime(2026, 7, 1, 13, tzinfo=ZoneInfo("UTC"))
    assert row["minutes_late"] == 60


def test_a_large_batch_costs_as_many_statements_as_a_small_one(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(promise(0, 60))
    counts = []
    for size in (1, 100):
        with ledger_fixture.recording_statements() as statements:
            ledger_fixture.apply("late_deliveries", *(flat(n, 60, f"{size}-{n}") for n in range(size)))
        counts.append(len([each for each in statements if not each.startswith("BEGIN")]))
    assert counts == [7, 7]
