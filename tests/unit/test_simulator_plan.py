"""The plan of `curbside simulate`: seeded, with every kind of event and fault, in bodies that match the simulated events."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from jsonschema import Draft7Validator

from deploy.simulator.plan import Knobs, Nature, Plan, make_plan
from deploy.simulator.provider_events import Fact
from schemas.decoding import decode
from schemas.events import Kind
from schemas.failures import DecodeError
from schemas.identity import identity_of_content
from tests.contract.test_published_schemas import ITEM_EVENT, ITEM_MESSAGES, ORDER_EVENT, ORDER_MESSAGES

START = datetime(2026, 10, 31, 22, tzinfo=UTC)
"""Some hours before clocks in New York show an hour twice."""
NEW_YORK = ZoneInfo("America/New_York")
CALM = Knobs(seed=7, start=START, zone=NEW_YORK, orders=400)
ROUGH = replace(CALM, duplicates=0.05, reordering=0.05, reverts=0.02, stale=0.05, bad_bodies=0.02, bad_signatures=0.02)
GENERIC = {
    "checkout",
    "at_store",
    "customer_acknowledged",
    "bags_verified",
    "tip_adjustment",
    "rating_reminder",
    "rating_updated",
}


@pytest.fixture(scope="module")
def calm() -> Plan:
    return make_plan(CALM)


@pytest.fixture(scope="module")
def rough() -> Plan:
    return make_plan(ROUGH)


def natures(plan: Plan) -> Counter[Nature]:
    return Counter(post.nature for post in plan.posts)


def order_ids(plan: Plan) -> set[str]:
    return {order_id for fact in plan.facts for order_id in fact.order_ids}


def facts_of(plan: Plan, nature: Nature) -> list[Fact]:
    return [plan.facts[post.fact] for post in plan.posts if post.nature is nature and post.fact is not None]


def is_envelope(fact: Fact) -> bool:
    return fact.body.startswith(b'{"event_id":')


def test_the_same_knobs_make_the_same_posts_byte_for_byte(rough: Plan) -> None:
    again = make_plan(ROUGH)
    assert again.posts == rough.posts
    assert again.facts == rough.facts


def test_no_run_of_another_seed_or_start_has_an_order_or_an_event_in_common(rough: Plan) -> None:
    for other in (replace(ROUGH, seed=8), replace(ROUGH, start=START.replace(microsecond=1000))):
        plan = make_plan(other)
        assert not order_ids(plan) & order_ids(rough)
        theirs = {fact.provider_event_id for fact in plan.facts} - {None}
        assert not theirs & {fact.provider_event_id for fact in rough.facts}


def test_every_kind_of_event_and_every_fault_appears(rough: Plan) -> None:
    afosto = {"order_opened", "order_updated", "order_closed", "in_transit", "delivered"}
    for dialect in (True, False):
        kinds = {fact.kind for fact in rough.facts if fact.provider == "instacart" and is_envelope(fact) is dialect}
        assert kinds >= {*ORDER_MESSAGES, *ITEM_MESSAGES, *GENERIC}
    assert {fact.kind for fact in rough.facts if fact.provider == "afosto"} == afosto
    assert natures(rough).keys() == set(Nature)
    assert {fact.fulfillment_type for fact in rough.facts} == {"delivery", "pickup", "last_mile", None}
    named = Counter(len(fact.order_ids) for fact in rough.facts if fact.kind == "in_transit")
    assert named.keys() == {1, 2, 3}
    assert any(fact.order_ids[0].startswith("dlv_") for fact in rough.facts)


def test_an_envelope_has_its_ids_as_numbers_above_two_to_the_53_and_in_quotes(calm: Plan) -> None:
    sent = [msgspec.json.decode(fact.body)["event_id"] for fact in calm.facts if is_envelope(fact)]
    assert {type(each) for each in sent} == {int, str}
    assert all(int(each) > 2**53 for each in sent)
    assert len({int(each) for each in sent}) == len(sent)


def test_orders_are_as_many_as_asked_for_and_no_fact_shares_its_time_with_another_of_its_order(calm: Plan) -> None:
    assert calm.orders == CALM.orders
    times = Counter((order_id, fact.at) for fact in calm.facts for order_id in fact.order_ids)
    assert set(times.values()) == {1}


def test_asked_for_posts_there_are_about_so_many() -> None:
    plan = make_plan(replace(ROUGH, orders=None, posts=1000))
    assert 1000 <= len(plan.posts) < 1100


def test_the_shares_are_kept() -> None:
    plan = make_plan(replace(ROUGH, orders=2000))
    found = natures(plan)
    for nature, share in {Nature.DUPLICATE: 0.05, Nature.BAD_BODY: 0.02, Nature.FORGED: 0.02}.items():
        assert found[nature] == pytest.approx(share * found[Nature.NEWS], rel=0.15)


def test_without_faults_each_event_is_posted_once_in_time_order(calm: Plan) -> None:
    assert natures(calm) == {Nature.NEWS: len(calm.facts)}
    times = [fact.at for fact in facts_of(calm, Nature.NEWS)]
    assert times == sorted(times)


def test_reordered_posts_are_overtaken_by_newer_events_of_their_own_order(rough: Plan) -> None:
    newest: dict[str, datetime] = {}
    overtaken = 0
    for fact in facts_of(rough, Nature.NEWS):
        overtaken += any(newest.get(order_id, fact.at) > fact.at for order_id in fact.order_ids)
        newest |= {order_id: max(newest.get(order_id, fact.at), fact.at) for order_id in fact.order_ids}
    assert overtaken > 0.03 * len(rough.facts)


def test_a_revert_sends_the_earlier_status_again_as_a_new_event() -> None:
    plan = make_plan(replace(CALM, reverts=1.0))
    life = [fact.kind for fact in plan.facts if fact.order_ids == plan.facts[-1].order_ids and fact.provider == "instacart"]
    pickings = Counter(fact.order_ids for fact in plan.facts if fact.kind == "picking")
    assert set(pickings.values()) == {2}, life


def test_a_stale_snapshot_comes_after_its_order_is_over_under_its_own_or_a_new_message_id(rough: Plan) -> None:
    stale = [post for post in rough.posts if post.nature is Nature.STALE]
    last = {order_id: fact.at for fact in rough.facts for order_id in fact.order_ids}
    assert all(post.moment > max(last[order_id] for order_id in post.order_ids) for post in stale)
    ids = {str(msgspec.json.decode(post.body)["message_id"]).endswith("-again") for post in stale}
    assert ids == {True, False}


def test_flat_bodies_keep_to_the_published_schemas(rough: Plan) -> None:
    bodies = [msgspec.json.decode(fact.body) for fact in rough.facts if fact.body.startswith(b'{"event":"fulfillment.')]
    names = {body["event"].removeprefix("fulfillment.") for body in bodies}
    assert names == {*ORDER_MESSAGES, *ITEM_MESSAGES, *GENERIC}
    for body in bodies:
        schema = ITEM_EVENT if body["event"].removeprefix("fulfillment.") in ITEM_MESSAGES else ORDER_EVENT
        Draft7Validator(_closed(schema)).validate(body)
        assert datetime.fromisoformat(body["timestamp"]).tzinfo is UTC


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, without room for fields that it does not name, and with all that it names at the top required."""
    properties = {name: _closed(each) for name, each in schema.get("properties", {}).items()}
    closed = schema | ({"properties": properties, "additionalProperties": False} if properties else {})
    return closed | ({"items": _closed(schema["items"])} if "items" in schema else {})


@pytest.mark.parametrize("zone", [UTC, NEW_YORK])
def test_bodies_match_the_simulated_events(zone: ZoneInfo) -> None:
    for fact in make_plan(replace(ROUGH, zone=zone)).facts:
        for body in filter(None, (fact.body, fact.retold)):
            event = decode(fact.provider, body, "1732300000123-4", zone)
            said = (event.name, event.order_ids, event.occurred_at, event.status, event.promised_at, event.provider_event_id)
            assert said == (fact.name, fact.order_ids, fact.at, fact.status, fact.expected_at, fact.provider_event_id)
            assert event.fulfillment_type == fact.fulfillment_type
            assert event.number == fact.number
            assert fact.kind in GENERIC or event.kind is Kind(fact.kind)
            assert [line.line for line in event.lines] == [line.line for line in fact.lines]
            assert [str(line.quantity) for line in event.lines] == [str(line.quantity) for line in fact.lines]
        if fact.retold:
            assert identity_of_content("instacart", fact.retold) == identity_of_content("instacart", fact.body)


def test_bad_bodies_cannot_be_decoded_and_forged_ones_can(rough: Plan) -> None:
    bad = [post for post in rough.posts if post.nature is Nature.BAD_BODY]
    reasons = Counter(_reason(post.provider, post.body) for post in bad)
    assert reasons.keys() == {"malformed", "no_order", "wrong_type"}
    for post in rough.posts:
        if post.nature is Nature.FORGED:
            assert decode(post.provider, post.body, "1732300000123-4", UTC).order_ids == post.order_ids
            assert not order_ids(rough) & set(post.order_ids)


def _reason(provider: str, body: bytes) -> str:
    with pytest.raises(DecodeError) as failure:
        decode(provider, body, "1732300000123-4", UTC)
    return failure.value.reason.value
