"""The simulator's odd orders: each oddity occurs, and the same options send the same bytes."""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from deploy.simulator.plan import Faults, Plan, PlanOptions, make_plan
from deploy.simulator.provider_events import ProviderEvent

START = datetime(2026, 10, 31, 22, tzinfo=UTC)
ODD = PlanOptions(seed=7, start=START, zone=UTC, orders=400, faults=Faults(reverts=0.02, oddities=1.0))
ITEMS = {"order_item_replacement", "order_item_refund"}


@pytest.fixture(scope="module")
def odd() -> Plan:
    return make_plan(ODD)


def lives(plan: Plan) -> list[list[ProviderEvent]]:
    """The events of each of Instacart's orders, as they happened."""
    found: dict[str, list[ProviderEvent]] = defaultdict(list)
    for event in plan.events:
        if event.provider == "instacart":
            found[event.order_ids[0]].append(event)
    return list(found.values())


def item_lists(life: list[ProviderEvent], kind: str) -> list[ProviderEvent]:
    return [event for event in life if event.kind == kind]


def test_the_same_options_make_the_same_posts_byte_for_byte(odd: Plan) -> None:
    again = make_plan(ODD)
    assert (again.posts, again.events) == (odd.posts, odd.events)


def test_a_share_of_orders_is_odd_and_by_default_none() -> None:
    few, none = (make_plan(replace(ODD, faults=Faults(oddities=share))) for share in (0.1, 0.0))
    assert not any(event.fails_in or not event.has_time for event in none.events)
    odd_lives = [life for life in lives(few) if any(event.at != event.moment or not event.has_time for event in life)]
    assert 0 < len(odd_lives) < 0.1 * len(lives(few))


def test_lists_come_in_another_order_and_lines_are_missing_from_later_ones(odd: Plan) -> None:
    numbers = [
        [[line.number for line in event.lines] for event in item_lists(life, kind)] for life in lives(odd) for kind in ITEMS
    ]
    assert any(sorted(a) == sorted(b) and a != b for its in numbers for a, b in pairwise(its))
    assert any(set(b) < set(a) for its in numbers for a, b in pairwise(its))


def test_products_are_repeated_with_and_without_line_numbers_and_codes_come_late(odd: Plan) -> None:
    repeats = [
        event
        for event in odd.events
        if max(Counter(line.product for line in event.lines if line.product).values(), default=0) > 1
    ]
    envelopes = [event for event in repeats if event.provider_event_id]
    assert {event.body.count(b'"line_num"') < event.body.count(b'"qty"') for event in envelopes} == {True, False}
    codes = defaultdict(set)
    for life in lives(odd):
        for event in life:
            for line in event.lines:
                codes[event.order_ids, line.number].add(line.product)
    assert any(len(each) == 2 for each in codes.values())


@pytest.mark.parametrize("kind", sorted(ITEMS))
def test_effects_are_taken_back(odd: Plan, kind: str) -> None:
    taken_back = 0
    for life in lives(odd):
        with_effect: set[int] = set()
        for event in item_lists(life, kind):
            now = {line.number for line in event.lines if (line.refunded if kind.endswith("refund") else line.substitute)}
            taken_back += bool((with_effect - now) & {line.number for line in event.lines})
            with_effect |= now
    assert taken_back > 5


def test_orders_are_rescheduled_to_an_earlier_time_before_and_after_a_late_delivery(odd: Plan) -> None:
    places = set()
    for life in lives(odd):
        promised = None
        for place, event in enumerate(life):
            if event.kind == "rescheduled" and promised and event.expected_at and event.expected_at < promised:
                places.add(any(each.kind == "late_delivery" for each in life[:place]))
            if event.kind in {"order_created", "rescheduled"}:
                promised = event.expected_at or promised
    assert places == {True, False}


def test_orders_go_on_after_their_end(odd: Plan) -> None:
    after: set[str] = set()
    for life in lives(odd):
        kinds = [event.kind for event in life]
        ends = [place for place, kind in enumerate(kinds) if kind in {"delivered", "canceled"}]
        after |= set(kinds[ends[0] + 1 :]) if ends else set()
    assert after >= {"delivering", "customer_mia", "delivered", "canceled"}


def test_two_events_have_one_time_some_have_none_and_some_clocks_are_off(odd: Plan) -> None:
    its = [event for event in odd.events if event.provider == "instacart"]
    assert max(Counter((event.order_ids, event.moment) for event in its).values()) > 1
    assert any(not event.has_time and b"timestamp" not in event.body for event in its)
    off = {event.at - event.moment for event in its if event.moment}
    assert off >= {timedelta(0), timedelta(hours=1), -timedelta(hours=1)}
    assert {event.at.year for event in its} >= {1, 9999}


def test_parts_are_of_other_types_than_documented(odd: Plan) -> None:
    bodies = [json.loads(event.body) for event in odd.events if event.provider == "instacart"]
    metadata = [body.get("event_metadata", {}) for body in bodies]
    lists = [body.get("items") for body in bodies] + [each.get("order_items") for each in metadata]
    lines = [line for each in lists if isinstance(each, list) for line in each if isinstance(line, dict)]
    assert any(isinstance(each, dict) and set(each) >= {"1", "2"} for each in lists)
    assert {type(line.get("refunded")) for line in lines} >= {bool, int, str}
    assert {type(line.get("quantity", line.get("qty"))) for line in lines} >= {int, str}
    assert {type(body.get("order_id")) for body in bodies} >= {int, str}
    assert any(body.get("note", "").endswith("\ud83d") for body in bodies)
    assert {handler for event in odd.events for handler in event.fails_in} == {"refunds", "replacements"}
