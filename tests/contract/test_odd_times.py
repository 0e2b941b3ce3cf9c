"""Times and names in forms that an outsider tried: each of these once cost an alert."""

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schemas.events import Event, Kind
from tests.support.ledger_fixture import LedgerFixture
from workers.testing import load_event

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
RECEIVED = "1772366400000-0"  # 2026-03-01 12:00 UTC


def flat(name: str, estimate: Any = None, **fields: Any) -> Event:
    body = {"event": name, "order_id": "a", "timestamp": "2026-03-01T11:50:00Z"} | fields
    body |= {} if estimate is None else {"order": {"estimated_delivery_at": estimate}}
    return load_event("instacart", json.dumps(body).encode(), RECEIVED, AMSTERDAM)


@pytest.mark.parametrize("time", ["20260301125000", 20260301125000, " 20260301125000", "2026-03-01 12:50:00"])
def test_a_time_without_marks_is_read_in_the_stores_zone(time: Any) -> None:
    read = flat("customer_mia", timestamp=time)
    assert (read.occurred_at.isoformat(), read.has_time) == ("2026-03-01T11:50:00+00:00", True)


@pytest.mark.parametrize("day", ["2026-03-01", "20260301", " 2026-03-01 ", "2026/03/01"])
def test_a_day_is_no_time(day: str) -> None:
    read = flat("customer_mia", timestamp=day)
    assert (read.occurred_at, read.has_time) == (read.received_at, False)
    assert flat("late_delivery", day).promised_at is None


@pytest.mark.parametrize(
    ("promise", "estimate", "minutes"),
    [
        ("2026-03-01 13:00:00", 20260301133500, 35),
        ("20260301130000", "2026-03-01T12:40:00Z", 40),
        ("2099-12-31T23:59:59Z", "2026-03-01T12:40:00Z", None),
        ("2038-01-19 03:14:07", "2026-03-01T12:40:00Z", None),
        ("2026-03-01T12:00:00Z", "2026-03-01", None),
        ("2026-03-01T12:00:00Z", "soon", None),
    ],
)
def test_a_late_delivery_calls_unless_it_is_known_to_be_hardly_late(
    promise: Any, estimate: Any, minutes: int | None, ledger_fixture: LedgerFixture
) -> None:
    ledger_fixture.apply_each(flat("order_created", promise, timestamp="2026-03-01T11:00:00Z"), flat("late_delivery", estimate))
    assert ledger_fixture.row("late_deliveries")["minutes_late"] == minutes
    assert len(ledger_fixture.alerts()) == 1


@pytest.mark.parametrize("end", ["25/11/2026 14:02", "0000-00-00 00:00:00", "soon", {}])
def test_a_window_whose_end_cannot_be_read_says_nothing_of_lateness(end: Any, ledger_fixture: LedgerFixture) -> None:
    old = {"starts_at": "2026-03-01 12:00:00", "ends_at": "2026-03-01 13:00:00"}
    metadata = {"order_id": "a", "delivery_window": old, "new_window": {"starts_at": "2026-03-01 13:00:00", "ends_at": end}}
    body = {"event_name": "late_delivery", "event_timestamp": "2026-03-01T11:50:00Z", "event_metadata": metadata}
    event = load_event("instacart", json.dumps(body).encode(), RECEIVED, AMSTERDAM)
    ledger_fixture.apply_each(event)
    assert ledger_fixture.row("late_deliveries")["minutes_late"] is None
    assert len(ledger_fixture.alerts()) == 1
    assert "$.event_metadata.new_window" in [part.path for part in event.unreadable]


@pytest.mark.parametrize("estimate", ["soon", "25/11/2026 15:00", [1]])
def test_an_estimate_that_cannot_be_read_is_named(estimate: Any) -> None:
    assert [part.path for part in flat("late_delivery", estimate).unreadable] == ["$.order.estimated_delivery_at"]


@pytest.mark.parametrize("fields", [{"event_name": 5}, {"event_name": ["x"]}, {"event_name": True}])
def test_another_dialects_name_of_another_type_costs_nothing(fields: dict[str, Any]) -> None:
    assert flat("customer_mia", **fields).kind is Kind.CUSTOMER_MIA


@pytest.mark.parametrize("name", [" customer_mia", "customer_mia ", "fulfillment.customer_mia\n"])
def test_white_space_around_a_name_counts_for_nothing(name: str) -> None:
    assert flat(name).kind is Kind.CUSTOMER_MIA
