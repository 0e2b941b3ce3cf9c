"""The simulator's judge of MIA alerts lists what can happen, and nothing else."""

from datetime import UTC, datetime, timedelta
from itertools import permutations, product

import pytest

from deploy.simulator.applied import AppliedEvent
from deploy.simulator.missing_customer import Outcome, outcomes_of
from deploy.simulator.provider_events import ProviderEvent

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


def events(kinds: str, arrivals: tuple[int, ...] | None = None) -> list[AppliedEvent]:
    """Reports (`r`) and ends (`e`) of an order, a minute apart. `arrivals`: their places in the order of receipt."""
    found = []
    for minute, (kind, arrival) in enumerate(zip(kinds, arrivals or range(len(kinds)), strict=True)):
        name, at = "customer_mia" if kind == "r" else "delivered", MIDNIGHT + timedelta(minutes=minute)
        event = ProviderEvent("instacart", name, name, ("fc-1",), at, b"")
        found.append(AppliedEvent(event, (1_772_400_000_000 + arrival, 0), f"{kind}{minute}", at, None))
    return found


def described(outcome: Outcome) -> tuple[dict[str, tuple[int, int, str | None]], set[str]]:
    """The rows as first and last minute and the end that closed them, and who is told of."""
    rows = {
        identity: (row["first_reported_at"].minute, row["last_reported_at"].minute, row["closed_by"])
        for identity, row in outcome.rows.items()
    }
    return rows, set(outcome.told)


def test_an_order_without_a_report_has_no_alert() -> None:
    assert outcomes_of(events("ee")) == [Outcome({}, frozenset())]


def test_of_two_reports_either_may_open_the_alert() -> None:
    found = [described(each) for each in outcomes_of(events("rr"))]
    assert found == [({"r0": (0, 1, None)}, {"r0"}), ({"r1": (0, 1, None)}, {"r1"})]


def test_a_report_received_before_the_end_has_a_closed_alert_and_people_may_be_told_or_not() -> None:
    end = "1772400000001-0"
    found = [described(each) for each in outcomes_of(events("re"))]
    assert sorted(found, key=str) == [({"r0": (0, 0, end)}, set()), ({"r0": (0, 0, end)}, {"r0"})]


def test_a_report_received_after_the_end_may_have_no_alert() -> None:
    found = [described(each) for each in outcomes_of(events("re", (1, 0)))]
    assert ({}, set()) in found
    assert len(found) == 2


def test_a_report_after_the_end_is_open_and_people_are_told() -> None:
    assert [described(each) for each in outcomes_of(events("er"))] == [({"r1": (1, 1, None)}, {"r1"})]


@pytest.mark.parametrize("kinds", ["".join(each) for size in (2, 3, 4) for each in product("re", repeat=size)])
def test_the_reports_after_the_last_end_are_one_open_alert_in_every_outcome(kinds: str) -> None:
    last = kinds.rfind("e")
    group = [f"r{minute}" for minute, kind in enumerate(kinds) if kind == "r" and minute > last]
    for arrivals in permutations(range(len(kinds))):
        outcomes = outcomes_of(events(kinds, arrivals))
        assert outcomes
        for outcome in outcomes:
            still_open = {identity for identity, row in outcome.rows.items() if row["closed_at"] is None}
            assert len(still_open) == bool(group)
            assert still_open <= set(group) & outcome.told
