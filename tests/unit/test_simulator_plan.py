"""The plan of `curbside simulate`: seeded, with every kind of event and fault, in bodies that match the simulated events."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from jsonschema import Draft7Validator

from deploy.simulator.plan import Faults, Plan, PlanOptions, PostType, make_plan
from deploy.simulator.provider_events import ProviderEvent
from schemas.decoding import decode
from schemas.events import Kind
from schemas.failures import DecodeError
from schemas.identity import identity_of_content
from tests.contract.test_published_schemas import ITEM_EVENT, ITEM_MESSAGES, ORDER_EVENT, ORDER_MESSAGES

START = datetime(2026, 10, 31, 22, tzinfo=UTC)
"""Some hours before clocks in New York show an hour twice."""
NEW_YORK = ZoneInfo("America/New_York")
CALM = PlanOptions(seed=7, start=START, zone=NEW_YORK, orders=400)
ROUGH = replace(
    CALM,
    faults=Faults(duplicates=0.05, reordering=0.05, reverts=0.02, stale=0.05, bad_bodies=0.02, bad_signatures=0.02),
)
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


def post_types(plan: Plan) -> Counter[PostType]:
    return Counter(post.post_type for post in plan.posts)


def order_ids(plan: Plan) -> set[str]:
    return {order_id for event in plan.events for order_id in event.order_ids}


def events_of(plan: Plan, post_type: PostType) -> list[ProviderEvent]:
    return [
        plan.events[post.event_index] for post in plan.posts if post.post_type is post_type and post.event_index is not None
    ]


def is_envelope(event: ProviderEvent) -> bool:
    return event.body.startswith(b'{"event_id":')


def test_the_same_options_make_the_same_posts_byte_for_byte(rough: Plan) -> None:
    again = make_plan(ROUGH)
    assert again.posts == rough.posts
    assert again.events == rough.events


def test_no_run_of_another_seed_or_start_has_an_order_or_an_event_in_common(rough: Plan) -> None:
    for other in (replace(ROUGH, seed=8), replace(ROUGH, start=START.replace(microsecond=1000))):
        plan = make_plan(other)
        assert not order_ids(plan) & order_ids(rough)
        theirs = {event.provider_event_id for event in plan.events} - {None}
        assert not theirs & {event.provider_event_id for event in rough.events}


def test_every_kind_of_event_and_every_fault_appears(rough: Plan) -> None:
    afosto = {"order_opened", "order_updated", "order_closed", "in_transit", "delivered"}
    for dialect in (True, False):
        kinds = {event.kind for event in rough.events if event.provider == "instacart" and is_envelope(event) is dialect}
        assert kinds >= {*ORDER_MESSAGES, *ITEM_MESSAGES, *GENERIC}
    assert {event.kind for event in rough.events if event.provider == "afosto"} == afosto
    assert post_types(rough).keys() == set(PostType)
    assert {event.fulfillment_type for event in rough.events} == {"delivery", "pickup", "last_mile", None}
    named = Counter(len(event.order_ids) for event in rough.events if event.kind == "in_transit")
    assert named.keys() == {1, 2, 3}
    assert any(event.order_ids[0].startswith("dlv_") for event in rough.events)


def test_an_envelope_has_its_ids_as_numbers_above_two_to_the_53_and_in_quotes(calm: Plan) -> None:
    sent = [msgspec.json.decode(event.body)["event_id"] for event in calm.events if is_envelope(event)]
    assert {type(each) for each in sent} == {int, str}
    assert all(int(each) > 2**53 for each in sent)
    assert len({int(each) for each in sent}) == len(sent)


def test_orders_are_as_many_as_asked_for_and_no_event_shares_its_time_with_another_of_its_order(calm: Plan) -> None:
    assert calm.orders == CALM.orders
    times = Counter((order_id, event.at) for event in calm.events for order_id in event.order_ids)
    assert set(times.values()) == {1}


def test_asked_for_posts_there_are_about_so_many() -> None:
    plan = make_plan(replace(ROUGH, orders=None, posts=1000))
    assert 1000 <= len(plan.posts) < 1100


def test_the_shares_are_kept() -> None:
    plan = make_plan(replace(ROUGH, orders=2000))
    found = post_types(plan)
    for post_type, share in {PostType.DUPLICATE: 0.05, PostType.BAD_BODY: 0.02, PostType.FORGED: 0.02}.items():
        assert found[post_type] == pytest.approx(share * found[PostType.ORIGINAL], rel=0.15)


def test_without_faults_each_event_is_sent_once_in_time_order(calm: Plan) -> None:
    assert post_types(calm) == {PostType.ORIGINAL: len(calm.events)}
    times = [event.at for event in events_of(calm, PostType.ORIGINAL)]
    assert times == sorted(times)


def test_reordered_posts_are_overtaken_by_later_ones_of_their_own_order(rough: Plan) -> None:
    newest: dict[str, datetime] = {}
    overtaken = 0
    for event in events_of(rough, PostType.ORIGINAL):
        overtaken += any(newest.get(order_id, event.at) > event.at for order_id in event.order_ids)
        newest |= {order_id: max(newest.get(order_id, event.at), event.at) for order_id in event.order_ids}
    assert overtaken > 0.03 * len(rough.events)


def test_a_revert_sends_the_earlier_status_again_as_a_new_event() -> None:
    plan = make_plan(replace(CALM, faults=Faults(reverts=1.0)))
    kinds = [
        event.kind for event in plan.events if event.order_ids == plan.events[-1].order_ids and event.provider == "instacart"
    ]
    pickings = Counter(event.order_ids for event in plan.events if event.kind == "picking")
    assert set(pickings.values()) == {2}, kinds


def test_a_stale_snapshot_comes_after_its_order_is_over_under_its_own_or_a_new_message_id(rough: Plan) -> None:
    stale = [post for post in rough.posts if post.post_type is PostType.STALE]
    last = {order_id: event.at for event in rough.events for order_id in event.order_ids}
    assert all(post.moment > max(last[order_id] for order_id in post.order_ids) for post in stale)
    ids = {str(msgspec.json.decode(post.body)["message_id"]).endswith("-again") for post in stale}
    assert ids == {True, False}


def test_flat_bodies_keep_to_the_published_schemas(rough: Plan) -> None:
    bodies = [msgspec.json.decode(event.body) for event in rough.events if event.body.startswith(b'{"event":"fulfillment.')]
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
def test_bodies_state_what_the_events_hold(zone: ZoneInfo) -> None:
    for event in make_plan(replace(ROUGH, zone=zone)).events:
        for body in filter(None, (event.body, event.reencoded)):
            decoded = decode(event.provider, body, "1732300000123-4", zone)
            found = (
                decoded.name,
                decoded.order_ids,
                decoded.occurred_at,
                decoded.status,
                decoded.promised_at,
                decoded.provider_event_id,
            )
            assert found == (event.name, event.order_ids, event.at, event.status, event.expected_at, event.provider_event_id)
            assert decoded.fulfillment_type == event.fulfillment_type
            assert decoded.number == event.number
            assert event.kind in GENERIC or decoded.kind is Kind(event.kind)
            assert [line.product for line in decoded.lines] == [line.product for line in event.lines]
            assert all(line.line in (None, found.line) for line, found in zip(event.lines, decoded.lines, strict=True))
            assert [str(line.quantity) for line in decoded.lines] == [str(line.quantity) for line in event.lines]
        if event.reencoded:
            assert identity_of_content("instacart", event.reencoded) == identity_of_content("instacart", event.body)


def test_bad_bodies_are_undecodable_and_forged_ones_are_not(rough: Plan) -> None:
    bad = [post for post in rough.posts if post.post_type is PostType.BAD_BODY]
    reasons = Counter(_reason(post.provider, post.body) for post in bad)
    assert reasons.keys() == {"malformed", "no_order", "wrong_type"}
    for post in rough.posts:
        if post.post_type is PostType.FORGED:
            assert decode(post.provider, post.body, "1732300000123-4", UTC).order_ids == post.order_ids
            assert not order_ids(rough) & set(post.order_ids)


def _reason(provider: str, body: bytes) -> str:
    with pytest.raises(DecodeError) as failure:
        decode(provider, body, "1732300000123-4", UTC)
    return failure.value.reason.value
