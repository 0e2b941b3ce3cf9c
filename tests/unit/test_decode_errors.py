"""A body that cannot be decoded raises `DecodeError` and nothing else, with a reason and a place, and no value of the body."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.failures import DecodeError, Reason
from schemas.providers.instacart.callbacks import KINDS
from tests.payloads import recorded
from tests.unit.undecodable_bodies import BAD, BIG, GOOD, SECRET, read


@pytest.mark.parametrize(("provider", "body", "reason", "message"), BAD, ids=[f"{row[0]}-{row[3][:70]}" for row in BAD])
def test_a_bad_body_is_refused_by_name_and_place(provider: str, body: bytes, reason: str, message: str) -> None:
    with pytest.raises(DecodeError) as refused:
        read(provider, body)
    text = str(refused.value)
    assert text.startswith(message)
    assert refused.value.reason is Reason[reason]
    assert re.match(r"\$[^ :]*( or \$[^ :]+)?( \([a-z' ]+\))?: expected [^:]+, (got|found) [^:]+$", text), text
    assert SECRET not in text
    assert len(text) < 150


def test_an_unknown_provider_is_refused_by_name() -> None:
    with pytest.raises(DecodeError, match=r"^provider: expected one of instacart, afosto, got another$") as refused:
        read(SECRET, b"{}")
    assert refused.value.reason is Reason.UNKNOWN_PROVIDER


@pytest.mark.parametrize("body", GOOD, ids=[body[-40:].decode() for body in GOOD])
def test_an_odd_body_with_an_order_id_and_a_kind_is_decoded(body: bytes) -> None:
    assert read("instacart", body).order_ids


IDENTIFIED = (
    b'{"event_id":7,"event_name":"picking","event_timestamp":"2024-11-22T16:31:40Z","event_metadata":{"order_id":"o","%b":%b}}'
)
UNREAD = ["user_id", "store_location", "retailer_id", "cancellation_reason", "order_url", "status_link", "pickup_link"]


@pytest.mark.parametrize(
    "value", [b'"caf\xe9"', BIG.encode(), b"1e400", b'{"a":["\xff"]}'], ids=["latin1", "big", "infinite", "deep"]
)
@pytest.mark.parametrize("name", UNREAD)
def test_an_unused_field_may_hold_invalid_values(name: str, value: bytes) -> None:
    assert read("instacart", IDENTIFIED % (name.encode(), value)).order_ids == ("o",)


def _read_or_refuse(provider: str, body: bytes) -> None:
    refusal = ""
    try:
        read(provider, body)
    except DecodeError as refused:
        refusal = f"{refused.reason}: {refused}"
    assert not refusal or re.match(r"\w+: \$.*: expected .+, (got|found) ", refusal), refusal


provider_names = st.sampled_from(["instacart", "afosto"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(provider_names, st.binary(max_size=60))
@settings(max_examples=150)
def test_arbitrary_bytes_raise_nothing_else(provider: str, body: bytes) -> None:
    _read_or_refuse(provider, body)


@given(provider_names, documents)
@settings(max_examples=150)
def test_arbitrary_json_raises_nothing_else(provider: str, document: object) -> None:
    _read_or_refuse(provider, msgspec.json.encode(document))


FIELDS = [
    "event event_name event_id event_timestamp timestamp order_id order status items event_metadata",
    "entity_id entity_type message_id triggered_at data number parcels expected_at progress id estimated_delivery_at",
    "order_items delivery_window new_window starts_at ends_at line_num product_id name quantity qty refunded replaced",
    "replacement item_upc item_rrc delivered_item_rrc requested_item_upc fulfillment_type qty_unit",
]
names = st.sampled_from(" ".join(FIELDS).split())
texts = st.sampled_from(["", "x", "\0", "NaN", "1e5", "2024-11-22T16:31:40Z", "9999-12-31 23:59:59", "delivery", *KINDS])
our_documents = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
    max_leaves=20,
)


@given(provider_names, st.dictionaries(names, our_documents, max_size=8), texts, texts)
@settings(max_examples=300)
def test_our_own_fields_with_any_content_raise_nothing_else(provider: str, body: dict[str, Any], name: str, order: str) -> None:
    _read_or_refuse(provider, msgspec.json.encode({"event": name, "order_id": order, "entity_id": order} | body))


@given(provider_names, st.integers(0, 700), st.binary(min_size=1, max_size=3))
@settings(max_examples=150)
def test_a_damaged_body_raises_nothing_else(provider: str, place: int, damage: bytes) -> None:
    body = recorded("afosto/in_transit" if provider == "afosto" else "instacart/envelope/order_item_refund")
    _read_or_refuse(provider, body[:place] + damage + body[place + len(damage) :])
