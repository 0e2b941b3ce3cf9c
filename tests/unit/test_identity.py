"""The same identity is a redelivery and is dropped; any other is a new event."""

import random
from datetime import UTC
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.decoding import decode
from schemas.identity import identity_of, identity_of_content
from tests.payloads import FOLDER, recorded

RECORDED = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.glob("**/*.json"))
FLAT = [name for name in RECORDED if "/flat/" in name]


def identity(body: bytes | dict[str, Any], provider: str = "instacart") -> str:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return decode(provider, raw, "1732300000123-4", UTC).identity


def envelope(event_id: str = "1201895966044343904", at: str = "2024-11-22T16:31:40Z", rest: str = "") -> bytes:
    return (
        f'{{"event_id":{event_id},"event_name":"picking","event_timestamp":"{at}","event_metadata":{{"order_id":"o"{rest}}}}}'
    ).encode()


def shuffled(document: Any, rng: random.Random) -> Any:
    """The same document with its keys in another order."""
    if isinstance(document, dict):
        keys = rng.sample(list(document), len(document))
        return {key: shuffled(document[key], rng) for key in keys}
    return [shuffled(each, rng) for each in document] if isinstance(document, list) else document


def test_all_recorded_bodies_are_different_events() -> None:
    identities = {identity(recorded(name), name.split("/")[0]) for name in RECORDED}
    assert len(identities) == len(RECORDED) == 29


@pytest.mark.parametrize("name", RECORDED)
def test_a_redelivery_is_recognised_in_every_dialect(name: str) -> None:
    provider, body = name.partition("/")[0], recorded(name)
    first = decode(provider, body, "1732300000123-4", UTC)
    again = decode(provider, body, "1732399999999-0", UTC)
    assert first.identity == again.identity
    assert len(first.identity) == 22


@pytest.mark.parametrize("name", FLAT)
def test_white_space_and_key_order_do_not_make_a_flat_body_a_new_event(name: str) -> None:
    body, rng = recorded(name), random.Random(7)  # noqa: S311 - any order will do
    document = msgspec.json.decode(body)
    for other in (shuffled(document, rng), shuffled(document, rng)):
        assert identity(msgspec.json.encode(other)) == identity(body)
        assert identity(b"\r\n" + msgspec.json.format(msgspec.json.encode(other), indent=5) + b" ") == identity(body)


@pytest.mark.parametrize("name", FLAT)
def test_any_change_of_any_value_makes_a_flat_body_a_new_event(name: str) -> None:
    document = msgspec.json.decode(recorded(name))
    changed = [identity(document | {key: document[key] + "1"}) for key in ("event", "order_id")]
    changed.append(identity(document | {"timestamp": "2024-11-22T16:31:41Z"}))
    changed.append(identity(document | {"tip": 0}))
    changed.append(identity(document | {"tip": None}))
    changed.append(identity({key: value for key, value in document.items() if key != "timestamp"}))
    assert len({identity(document), *changed}) == 7


def test_a_revert_to_an_earlier_status_is_a_new_event_in_both_dialects() -> None:
    flat = {"event": "picking", "order_id": "o", "status": "picking"}
    assert identity(flat | {"timestamp": "2024-11-22T16:31:40Z"}) != identity(flat | {"timestamp": "2024-11-22T17:02:00Z"})
    assert identity(envelope(at="2024-11-22T16:31:40Z")) != identity(envelope(at="2024-11-22T17:02:00Z"))


def test_quantities_that_meet_in_the_same_float_are_different_events() -> None:
    def body(quantity: str) -> bytes:
        return b'{"event":"picking","order_id":"o","items":[{"quantity":%s}]}' % quantity.encode()

    literals = ["0.1", "0.10000000000000000001", "0.10", "1e400", "2e400", "1", "1.0", "9007199254740993", "9007199254740992"]
    literals += ["18446744073709551616", "18446744073709551617", '"0.1"', '"\\u00000.1"', "null"]
    seen = {identity_of_content("instacart", body(literal)) for literal in literals}
    assert len(seen) == len(literals)


def test_the_order_of_a_list_counts() -> None:
    assert identity_of_content("x", b'{"a":[1,2]}') != identity_of_content("x", b'{"a":[2,1]}')


def test_a_text_is_the_same_however_it_was_escaped() -> None:
    assert identity_of_content("x", b'{"a":"\\u00e9\\/"}') == identity_of_content("x", '{"a":"é/"}'.encode())


def test_one_body_from_two_providers_is_two_events() -> None:
    assert identity_of_content("instacart", b"{}") != identity_of_content("afosto", b"{}")
    assert identity_of("instacart", "a") != identity_of("afosto", "a")


def test_parts_of_an_identity_are_separated() -> None:
    assert identity_of("a", "bc") != identity_of("ab", "c")


def test_an_event_id_above_2_53_survives_exactly_quoted_or_not() -> None:
    number = "1201895966044343904"
    for body in (envelope(number), envelope(f'"{number}"')):
        assert decode("instacart", body, "1-0", UTC).provider_event_id == number
    assert identity(envelope(number)) == identity(envelope(f'"{number}"'))
    assert identity(envelope(number)) != identity(envelope("1201895966044343905")), "they meet in the same float"


def test_the_same_event_id_and_time_is_a_redelivery_whatever_else_is_in_the_body() -> None:
    assert identity(envelope()) == identity(envelope(rest=',"retailer_id":"42"'))


@pytest.mark.parametrize("missing", [{"event_id": None}, {"event_timestamp": None}, {"event_id": ""}, {"event_timestamp": ""}])
def test_an_envelope_without_an_id_or_a_time_is_known_by_its_content(missing: dict[str, Any]) -> None:
    document = msgspec.json.decode(envelope()) | missing
    assert identity(document) == identity(shuffled(document, random.Random(1)))  # noqa: S311
    assert identity(document) != identity(document | {"tip": 1})


def test_an_afosto_retry_is_known_by_its_message_id_alone() -> None:
    body = msgspec.json.decode(recorded("afosto/delivered"))
    assert identity(body, "afosto") == identity(body | {"data": {}, "triggered_at": 5}, "afosto")
    assert identity(body, "afosto") != identity(body | {"message_id": "msg_other"}, "afosto")


@pytest.mark.parametrize("missing", ["", None])
def test_an_afosto_body_without_a_message_id_is_known_by_its_content(missing: str | None) -> None:
    body = msgspec.json.decode(recorded("afosto/delivered")) | {"message_id": missing}
    assert identity(body, "afosto") == identity(shuffled(body, random.Random(1)), "afosto")  # noqa: S311
    assert identity(body, "afosto") != identity(body | {"triggered_at": 5}, "afosto")


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4), max_leaves=10
)


@given(st.dictionaries(st.text(max_size=3), documents, max_size=5), st.randoms(use_true_random=False), st.integers(0, 4))
@settings(max_examples=150)
def test_property_the_way_of_writing_does_not_count(document: dict[str, Any], rng: random.Random, indent: int) -> None:
    body = msgspec.json.encode(document)
    other = msgspec.json.format(msgspec.json.encode(shuffled(document, rng)), indent=indent)
    assert identity_of_content("x", body) == identity_of_content("x", other)


@given(documents, documents)
@settings(max_examples=150)
def test_property_whatever_differs_has_another_identity(one: Any, other: Any) -> None:
    first, second = (msgspec.json.encode(each, order="sorted") for each in (one, other))
    assume(first != second)
    assert identity_of_content("x", first) != identity_of_content("x", second)


@given(st.integers(), st.integers())
@settings(max_examples=150)
def test_property_event_ids_are_exact(one: int, other: int) -> None:
    event = decode("instacart", envelope(str(one)), "1-0", UTC)
    assert event.provider_event_id == str(one)
    assert event.identity == identity(envelope(f'"{one}"'))
    assert (event.identity == identity(envelope(str(other)))) == (one == other)


def test_identities_of_this_release_stay_those_of_the_last() -> None:
    """They live in Valkey for `DEDUPE_WINDOW`: another digest would take every redelivery over an upgrade for news."""
    assert identity(recorded("instacart/envelope/late_delivery")) == "4u-dKmMXDgKB2d2bQHPZ9Q"
    assert identity(recorded("instacart/flat/late_delivery")) == "4BdmbIfAE9oTbAdrfSZEQw"
    assert identity(recorded("afosto/delivered"), "afosto") == "bb0Qzx15PvXwHisxhlhRLg"


@pytest.mark.parametrize("order", [b"[]", b'{"id":"fc-1"}'])
@pytest.mark.parametrize("note", [rb"\ud83d", rb"\u0000", b"x"])
def test_an_odd_structure_and_half_a_surrogate_pair_have_one_identity_in_every_encoding(order: bytes, note: bytes) -> None:
    start = b'"event":"fulfillment.customer_mia","order_id":"fc-1","timestamp":"2026-03-01T00:00:00Z"'
    one, other = b'"order":%s' % order, b'"note":"%s"' % note
    assert identity(b"{%s,%s,%s}" % (start, one, other)) == identity(b"{ %s, %s, %s }" % (other, one, start))
