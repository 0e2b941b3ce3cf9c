"""A body is shown without personal data: every value that is not known to be harmless is masked."""

import json
import string
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.masking import MASK, masked
from tests.payloads import FOLDER, recorded

SECRET = "Jane4711"
BODIES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.json"))
KNOWN = ["event", "order_id", "id", "number", "status", "qty", "line_num", "timestamp", "created_at"]
PLACES = ["order", "items", "event_metadata", "data", "parcels", "replacement"]
STRANGE = [
    "customer",
    "address",
    "phone_number",
    "notes",
    "given_name",
    "user_id",
    "",
    "jane@example.com",
    "Jane Doe",
    "x" * 100,
]


def shown(document: Any) -> Any:
    return json.loads(masked(msgspec.json.encode(document)))


texts = st.sampled_from([SECRET, f"{SECRET} Doe", f"{SECRET}@example.com", f"+31 {SECRET}"])
anything = st.recursive(
    texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KNOWN + PLACES + STRANGE), inner, max_size=4),
    max_leaves=12,
)


@given(name=st.sampled_from(STRANGE) | st.text(string.ascii_letters, min_size=12, max_size=20), value=anything)
@settings(max_examples=200)
def test_nothing_beneath_a_field_that_we_do_not_know_is_shown(name: str, value: Any) -> None:
    at_the_top = masked(msgspec.json.encode({name: value, "order_id": "fc-1"}))
    assert SECRET not in at_the_top
    assert "fc-1" in at_the_top
    in_an_order = masked(msgspec.json.encode({"order": {name: value}, "items": [{name: [value]}]}))
    assert SECRET not in in_an_order


@given(value=texts.filter(lambda text: " " in text or "@" in text), name=st.sampled_from(KNOWN))
def test_a_sentence_or_an_address_is_masked_wherever_it_stands(name: str, value: str) -> None:
    assert shown({name: value}) == {name: MASK}


@given(document=anything)
@settings(max_examples=200)
def test_masking_always_gives_json_of_the_same_shape(document: Any) -> None:
    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return [shape(each) for each in value.values()]
        return [shape(each) for each in value] if isinstance(value, list) else 0

    assert shape(shown(document)) == shape(document)


@pytest.mark.parametrize("path", BODIES)
def test_of_a_recorded_body_the_order_is_seen_and_the_customer_is_not(path: str) -> None:
    document, text = json.loads(recorded(path)), masked(recorded(path))
    order = document.get("order_id") or document.get("entity_id") or document["event_metadata"]["order_id"]
    assert order in text
    personal = ["customer@example.com", "+31000000000", "Voorbeeld", "0000 AA", 'given_name": "J', "https://"]
    assert not [value for value in personal if value in text]


def test_the_number_of_an_order_is_shown_and_that_of_a_phone_is_not() -> None:
    phone = {"data": {"number": 1042, "phone_number": {"number": "+31612345678"}, "to": {"address": {"number": "12"}}}}
    assert shown(phone) == {"data": {"number": 1042, "phone_number": {"number": MASK}, "to": {"address": {"number": MASK}}}}


def test_a_field_named_like_a_person_is_masked_and_none_is_lost() -> None:
    assert shown({"jane@example.com": 1, "Jane Doe": {"id": "x"}}) == {"***1": MASK, "***2": {"id": MASK}}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"\0", b"name=Jane4711", b"[" * 100_000],
    ids=["empty", "cut", "utf-16", "nul", "form", "deep list"],
)  # fmt: skip
def test_of_what_is_no_json_only_the_size_is_shown(body: bytes) -> None:
    assert masked(body) == f"{len(body)} bytes that are no JSON"


@pytest.mark.parametrize(
    "odd", [b'"\\ud83d"', b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b"9" * 5_000, b"NaN", b'"caf\xe9"', b'"\t"'],
    ids=["surrogate", "deep", "huge number", "no number", "latin1", "control"],
)  # fmt: skip
def test_a_body_that_is_nearly_json_is_shown_masked(odd: bytes) -> None:
    text = masked(b'{"order_id":"o","name":"Jane4711","x":%s}' % odd)
    assert json.loads(text)["order_id"] == "o"
    assert SECRET not in text


def test_what_is_nested_deeper_than_any_provider_nests_is_masked_as_a_whole() -> None:
    text = masked(b'{"order":' * 300 + b'{"id":"Jane4711"}' + b"}" * 300)
    assert SECRET not in text
    assert text.count("order") == 40


def test_ten_megabytes_are_shown_masked() -> None:
    items = [{"product_id": f"p{number}", "name": SECRET, "notes": "x" * 100} for number in range(70_000)]
    text = masked(msgspec.json.encode({"order_id": "fc-1", "items": items}))
    assert SECRET not in text
    assert '"p69999"' in text


@pytest.mark.parametrize("body", [b"null", b"true", b"0", b'"Jane4711"', b"[]", b'["Jane4711"]', b"{}", b"1e300"])
def test_a_body_that_is_no_object_is_masked(body: bytes) -> None:
    assert json.loads(masked(body)) in (None, MASK, [], [MASK], {})
