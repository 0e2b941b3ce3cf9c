"""Times that mean nothing do not rule: year 1, year 9999, a provider's clock that is fast, a Valkey whose clock is ahead.

The provider's time is kept as sent. What orders news is that time, bounded to what is plausible at receipt.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from schemas.events import CLOCK_TOLERANCE, Event, Kind
from schemas.identity import identity_of
from tests.contract.handler_events import ORDER, at
from tests.support.ledger_fixture import LedgerFixture
from workers.event_decoder import EventDecoder
from workers.ledger.tables import order_events

YEAR_1, YEAR_2062, YEAR_9999 = (datetime(year, 1, 1, tzinfo=UTC) for year in (1, 2062, 9999))
MIA, LATE, PICKING = Kind.CUSTOMER_MIA, Kind.LATE_DELIVERY, Kind.PICKING
FAR = pytest.mark.parametrize("said", [YEAR_2062, datetime(2099, 12, 31, tzinfo=UTC), YEAR_9999], ids=str)
_STATUS = {Kind.PICKING: "picking", Kind.DELIVERED: "delivered", Kind.DELIVERING: "delivering", Kind.CANCELED: "canceled"}


def told(kind: Kind, received: float, said: datetime | None = None, order: str = ORDER, **fields: Any) -> Event:
    """An event that is received at this minute and says this time (None: that it is now)."""
    identity = identity_of(order, kind, str(received), str(said))
    return Event(
        event_id=f"{int(at(received).timestamp() * 1000)}-0",
        identity=identity,
        provider="instacart",
        name=f"fulfillment.{kind}",
        kind=kind,
        order_ids=(order,),
        occurred_at=said or at(received),
        received_at=at(received),
        status=_STATUS.get(kind),
        **fields,
    )


def without_time(kind: Kind, received: float, **fields: Any) -> Event:
    """An event whose body names no time."""
    return told(kind, received, has_time=False, **fields)


def open_alerts(ledger: LedgerFixture) -> list[dict[str, Any]]:
    return [row for row in ledger.rows("customer_mia_alerts") if row["closed_at"] is None]


@FAR
@pytest.mark.parametrize("end", [Kind.DELIVERED, Kind.CANCELED])
def test_an_end_of_the_far_future_silences_no_later_alert(ledger_fixture: LedgerFixture, end: Kind, said: datetime) -> None:
    ledger_fixture.apply_each(told(end, 0, said), told(MIA, 1))
    assert len(open_alerts(ledger_fixture)) == 1
    assert ledger_fixture.alerts() == [f"Customer of order {ORDER} cannot be found"]
    rows = {row["kind"]: row for row in ledger_fixture.rows("order_events")}
    assert (rows[end]["occurred_at"], rows[end]["ordered_at"]) == (said, at(0)), "kept as sent, ordered by receipt"


@FAR
def test_an_end_of_the_far_future_silences_no_later_late_alert(ledger_fixture: LedgerFixture, said: datetime) -> None:
    ledger_fixture.apply_each(told(Kind.DELIVERED, 0, said), told(LATE, 1, promised_at=at(60)))
    assert len(ledger_fixture.alerts()) == 1


@FAR
def test_an_end_of_the_far_future_closes_the_alert_reported_before_it(ledger_fixture: LedgerFixture, said: datetime) -> None:
    ledger_fixture.apply_each(told(MIA, 0), told(Kind.DELIVERED, 1, said))
    assert ledger_fixture.row("customer_mia_alerts")["closed_at"] == at(1)


@FAR
def test_a_report_of_the_far_future_is_closed_by_a_later_end(ledger_fixture: LedgerFixture, said: datetime) -> None:
    ledger_fixture.apply_each(told(MIA, 0, said), told(Kind.DELIVERED, 1))
    row = ledger_fixture.row("customer_mia_alerts")
    assert (row["occurred_at"], row["last_reported_at"], row["closed_at"]) == (said, at(0), at(1))


@FAR
def test_a_status_of_the_far_future_does_not_freeze_the_order(ledger_fixture: LedgerFixture, said: datetime) -> None:
    ledger_fixture.apply_each(told(PICKING, 0, said), told(Kind.DELIVERING, 1))
    row = ledger_fixture.row("orders")
    assert (row["status"], row["first_event_at"], row["last_event_at"]) == ("delivering", at(0), at(1))


@FAR
def test_a_promise_of_the_far_future_is_the_promise_of_its_receipt(ledger_fixture: LedgerFixture, said: datetime) -> None:
    ledger_fixture.apply_each(
        told(Kind.ORDER_CREATED, 0, promised_at=at(60)),
        told(Kind.RESCHEDULED, 1, said, promised_at=at(90)),
        told(Kind.RESCHEDULED, 2, promised_at=at(100)),
        told(LATE, 3, promised_at=at(120)),
    )
    assert ledger_fixture.row("orders")["promised_at"] == at(100)
    assert ledger_fixture.row("late_deliveries")["minutes_late"] == 20
    ledger_fixture.apply_each(
        told(Kind.ORDER_CREATED, 0, order="b", promised_at=at(60)),
        told(Kind.RESCHEDULED, 1, said, order="b", promised_at=at(90)),
        told(LATE, 3, order="b", promised_at=at(120)),
    )
    assert ledger_fixture.row("late_deliveries", "b")["minutes_late"] == 30


@FAR
def test_a_lateness_of_the_far_future_is_replaced_by_the_next(ledger_fixture: LedgerFixture, said: datetime) -> None:
    ledger_fixture.apply_each(
        told(Kind.ORDER_CREATED, 0, promised_at=at(60)),
        told(LATE, 1, said, promised_at=at(61)),
        told(LATE, 2, promised_at=at(120)),
    )
    row = ledger_fixture.row("late_deliveries")
    assert (row["occurred_at"], row["minutes_late"]) == (at(2), 60)
    assert ledger_fixture.alerts() == [f"Order {ORDER} will be late by 60 minutes"]


@FAR
def test_a_lateness_of_the_far_future_is_over_when_the_order_ends(ledger_fixture: LedgerFixture, said: datetime) -> None:
    late = told(LATE, 1, said, promised_at=at(120))
    ledger_fixture.apply("timeline", late, told(Kind.DELIVERED, 2))
    ledger_fixture.apply("late_deliveries", late)
    assert ledger_fixture.alerts() == []


def test_year_1_counts_as_no_time(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(told(Kind.DELIVERED, 0), told(MIA, 1, YEAR_1), told(PICKING, 2, YEAR_1))
    assert len(open_alerts(ledger_fixture)) == 1, "it was reported when it was received, after the end"
    row = ledger_fixture.row("orders")
    assert (row["status"], row["first_event_at"], row["last_event_at"]) == ("picking", at(0), at(2))


@pytest.mark.parametrize("fast", [CLOCK_TOLERANCE / 2, timedelta(hours=1), timedelta(hours=24)], ids=str)
def test_events_of_a_clock_that_is_fast_keep_their_order(ledger_fixture: LedgerFixture, fast: timedelta) -> None:
    kinds = [Kind.ORDER_CREATED, PICKING, Kind.DELIVERING, MIA, Kind.DELIVERED]
    story = [told(kind, minute, at(minute) + fast) for minute, kind in enumerate(kinds)]
    ledger_fixture.apply_each(*reversed(story))
    assert ledger_fixture.row("orders")["status"] == "delivered"
    assert open_alerts(ledger_fixture) == []
    ledger_fixture.apply_each(told(PICKING, 30))
    assert ledger_fixture.row("orders")["status"] == "picking", "half an hour later, by a clock that is right"


@pytest.mark.parametrize("nonsense", [YEAR_1, YEAR_9999], ids=str)
def test_an_estimate_of_no_day_is_no_estimate(ledger_fixture: LedgerFixture, nonsense: datetime) -> None:
    ledger_fixture.apply_each(
        told(Kind.ORDER_CREATED, 0, promised_at=at(60)),
        told(Kind.RESCHEDULED, 1, promised_at=nonsense),
        told(LATE, 2, promised_at=at(90)),
        told(PICKING, 3, promised_at=nonsense),
    )
    assert ledger_fixture.row("late_deliveries")["minutes_late"] == 30, "against the promise that can be meant"
    row = ledger_fixture.row("orders")
    assert (row["promised_at"], row["expected_at"]) == (at(60), at(90))
    assert nonsense in [each["expected_at"] for each in ledger_fixture.rows("order_events")], "kept as sent"
    ledger_fixture.apply_each(told(LATE, 4, promised_at=nonsense))
    assert f"Order {ORDER} will be late by an unknown time" in ledger_fixture.alerts()


def test_what_release_0_1_stored_is_bounded_when_it_is_read(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(told(Kind.DELIVERED, 0, YEAR_2062), told(Kind.RESCHEDULED, 0, YEAR_9999, promised_at=at(60)))
    with ledger_fixture.ledger.begin() as connection:
        connection.execute(order_events.update().values(ordered_at=None, has_time=None))
    ledger_fixture.apply_each(told(MIA, 1), told(LATE, 2, promised_at=at(90)))
    assert len(ledger_fixture.alerts()) == 2
    assert ledger_fixture.row("late_deliveries")["minutes_late"] == 30


def test_an_event_without_a_time_received_while_valkeys_clock_was_ahead_is_older_than_a_real_one(
    ledger_fixture: LedgerFixture,
) -> None:
    clock = [datetime(2026, 3, 1, 12, tzinfo=UTC)]
    decoder = EventDecoder(UTC, now=lambda: clock[0])

    def decoded(kind: str, received: datetime, **fields: str) -> Event:
        body = orjson.dumps({"event": kind, "order_id": ORDER, **fields})
        return decoder.decode("instacart", body, f"{int(received.timestamp() * 1000)}-0")

    ahead = decoded("picking", clock[0] + timedelta(days=36500))
    ledger_fixture.apply_each(ahead)
    clock[0] += timedelta(minutes=1)
    ledger_fixture.apply_each(decoded("delivered", clock[0], timestamp="2026-03-01T12:00:30Z"))
    row = ledger_fixture.row("orders")
    assert ahead.ordered_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (row["status"], row["last_event_at"]) == ("delivered", datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC))


def test_the_tolerance_is_a_setting_of_the_decoder() -> None:
    body = orjson.dumps({"event": "picking", "order_id": ORDER, "timestamp": "2026-03-01T13:00:00Z"})
    received = f"{int(at(0).timestamp() * 1000)}-0"
    bounds = [
        EventDecoder(UTC, timedelta(minutes=minutes), lambda: at(5)).decode("instacart", body, received) for minutes in (10, 90)
    ]
    assert [each.ordered_at for each in bounds] == [at(10), at(60)]
    assert replace(bounds[0], ordered_at=at(60)) == bounds[1]
