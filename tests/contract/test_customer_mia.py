"""Customer MIA: one open alert for each order, and none for an order that has ended."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from schemas.events import Event, Kind
from tests.contract.handler_events import ORDER, at, event
from tests.support.ledger_fixture import LedgerFixture

MIA = Kind.CUSTOMER_MIA
ROUNDS = 25


def open_alerts(ledger_fixture: LedgerFixture, order: str = ORDER) -> list[str]:
    return [row["identity"] for row in ledger_fixture.rows("customer_mia_alerts", order) if row["closed_at"] is None]


def test_a_missing_customer_is_alerted_once_while_the_alert_is_open(ledger_fixture: LedgerFixture) -> None:
    first = event(MIA, 1)
    ledger_fixture.apply_each(first, event(MIA, 2), event(MIA, 3))
    row = ledger_fixture.row("customer_mia_alerts")
    assert (row["identity"], row["occurred_at"], row["received_at"]) == (first.identity, at(1), first.received_at)
    assert (row["first_reported_at"], row["last_reported_at"], row["closed_at"]) == (at(1), at(3), None)
    assert ledger_fixture.alerts() == [f"Customer of order {ORDER} cannot be found"]


def test_two_reports_in_one_batch_are_one_alert(ledger_fixture: LedgerFixture) -> None:
    assert ledger_fixture.apply("customer_mia", event(MIA, 2), event(MIA, 1))
    assert ledger_fixture.row("customer_mia_alerts")["last_reported_at"] == at(2)
    assert len(ledger_fixture.alerts()) == 1


@pytest.mark.parametrize("end", [Kind.DELIVERED, Kind.CANCELED])
def test_the_end_of_the_order_closes_its_alert(ledger_fixture: LedgerFixture, end: Kind) -> None:
    over = event(end, 5)
    ledger_fixture.apply_each(event(MIA, 1), over)
    row = ledger_fixture.row("customer_mia_alerts")
    assert (row["closed_at"], row["closed_by"]) == (at(5), over.event_id)


@pytest.mark.parametrize("news", [Kind.DELIVERING, Kind.RESCHEDULED, Kind.LATE_DELIVERY])
def test_no_other_event_closes_an_alert(ledger_fixture: LedgerFixture, news: Kind) -> None:
    ledger_fixture.apply_each(event(MIA, 1), event(news, 5))
    assert len(open_alerts(ledger_fixture)) == 1


def test_an_end_before_the_report_does_not_close_it(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(MIA, 3), event(Kind.DELIVERED, 1))
    assert len(open_alerts(ledger_fixture)) == 1


def test_the_end_of_another_order_does_not_close_it(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(MIA, 1), event(Kind.DELIVERED, 5, "another"))
    assert len(open_alerts(ledger_fixture)) == 1


def test_a_later_report_opens_a_new_alert_and_sends_it(ledger_fixture: LedgerFixture) -> None:
    again = event(MIA, 9)
    ledger_fixture.apply_each(event(MIA, 1), event(Kind.DELIVERED, 5), again)
    assert open_alerts(ledger_fixture) == [again.identity]
    assert len(ledger_fixture.rows("customer_mia_alerts")) == 2
    assert len(ledger_fixture.alerts()) == 2


def test_an_old_report_that_arrives_after_the_end_opens_nothing(ledger_fixture: LedgerFixture) -> None:
    over = event(Kind.DELIVERED, 5)
    ledger_fixture.apply_each(over, event(MIA, 1), event(MIA, 5))
    assert ledger_fixture.rows("customer_mia_alerts") == []
    assert ledger_fixture.alerts() == []


def test_a_report_handled_after_the_orders_end_is_stored_closed_and_sends_no_alert(
    ledger_fixture: LedgerFixture,
) -> None:
    report, over = event(MIA, 1), event(Kind.DELIVERED, 5)
    ledger_fixture.apply("timeline", report, over)
    assert not ledger_fixture.apply("customer_mia", report)
    row = ledger_fixture.row("customer_mia_alerts")
    assert (row["identity"], row["closed_at"], row["closed_by"]) == (report.identity, at(5), over.event_id)
    assert ledger_fixture.alerts() == []


def test_an_alert_that_a_later_report_kept_open_stays_open_when_an_old_end_arrives(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(MIA, 1), event(MIA, 9), event(Kind.DELIVERED, 5))
    assert len(open_alerts(ledger_fixture)) == 1


def test_a_report_noted_out_of_order_is_not_noted_again_when_it_is_repeated_after_the_end(
    ledger_fixture: LedgerFixture,
) -> None:
    late, early = event(MIA, 9), event(MIA, 1)
    ledger_fixture.apply_each(late, early, event(Kind.DELIVERED, 5))
    before = ledger_fixture.rows("customer_mia_alerts")
    ledger_fixture.apply_each(early)
    assert ledger_fixture.rows("customer_mia_alerts") == before


@pytest.mark.parametrize("arrivals", list(itertools.permutations(range(3))), ids=str)
def test_a_report_after_an_end_that_is_handled_late_calls_again(
    ledger_fixture: LedgerFixture, arrivals: tuple[int, ...]
) -> None:
    """The timeline handles the events in any order, after both reports; a call for the first report says nothing of the second."""
    before, over, after = event(MIA, 1), event(Kind.DELIVERED, 5), event(MIA, 9)
    ledger_fixture.apply("customer_mia", before)
    ledger_fixture.apply("customer_mia", after)
    assert len(ledger_fixture.alerts()) == 1
    for number in arrivals:
        ledger_fixture.apply("timeline", (before, over, after)[number])
    rows = {row["identity"]: row for row in ledger_fixture.rows("customer_mia_alerts")}
    assert (rows[before.identity]["last_reported_at"], rows[before.identity]["closed_by"]) == (at(1), over.event_id)
    assert open_alerts(ledger_fixture) == [after.identity]
    assert rows[after.identity]["first_reported_at"] == at(9)
    keys = {row["idempotency_key"].rpartition(":")[2] for row in ledger_fixture.rows("outbox")}
    assert keys == {before.identity, after.identity}
    rows_before = ledger_fixture.rows("customer_mia_alerts")
    ledger_fixture.apply_each(before, over, after)
    assert ledger_fixture.rows("customer_mia_alerts") == rows_before
    assert len(ledger_fixture.alerts()) == 2


def test_a_report_without_a_time_is_as_old_as_its_receipt(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(Kind.DELIVERED, 5), event(MIA, None))
    assert len(open_alerts(ledger_fixture)) == 1


def test_an_alert_text_names_the_order_and_no_person(ledger_fixture: LedgerFixture) -> None:
    report = event(MIA, 1)
    ledger_fixture.apply_each(report)
    row = ledger_fixture.row("outbox")
    assert row["idempotency_key"] == f"customer_mia:instacart:{ORDER}:{report.identity}"
    assert f'"order_id":"{ORDER}"' in row["payload"]


@pytest.mark.parametrize("minutes", list(itertools.permutations((1, 5, 9))), ids=str)
def test_a_report_and_an_end_handled_at_the_same_moment_leave_nothing_open_and_miss_nothing(
    ledger_fixture: LedgerFixture, minutes: tuple[int, int, int]
) -> None:
    """The handlers run concurrently: whichever commits first, an alert is open exactly if the last report is after the end."""
    over_at, *reported_at = minutes
    start = threading.Barrier(2)

    def at_once(handler: str, *events: Event) -> None:
        start.wait(30)
        ledger_fixture.apply(handler, *events)

    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            order = f"fc-{number}"
            reports = [event(MIA, minute, order) for minute in reported_at]
            over = event(Kind.CANCELED if number % 2 else Kind.DELIVERED, over_at, order)
            timeline = pool.submit(at_once, "timeline", *reports, over)
            mia = pool.submit(at_once, "customer_mia", *reports)
            timeline.result(60)
            mia.result(60)
    expected = [] if over_at > max(reported_at) else [f"fc-{number}" for number in range(ROUNDS)]
    still_open = [row["order_id"] for row in ledger_fixture.rows("customer_mia_alerts") if row["closed_at"] is None]
    assert sorted(still_open) == sorted(expected)


def test_a_batch_of_reports_takes_as_many_statements_as_one_report(ledger_fixture: LedgerFixture) -> None:
    def statements_for(count: int, start: int) -> int:
        batch = [event(MIA, 1, f"{start}-{number}") for number in range(count)]
        with ledger_fixture.recording_statements() as statements:
            ledger_fixture.apply("customer_mia", *batch)
        return len([each for each in statements if not each.startswith("BEGIN")])

    ledger_fixture.apply_each(event(MIA, 1))
    assert statements_for(1, 1) == 5
    assert statements_for(10, 2) == 5
