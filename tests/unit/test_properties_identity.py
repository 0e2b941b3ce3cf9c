"""Identity over whole documents: notation does not count, any change of content does, a provider's own id decides alone."""

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.decoding import decode
from schemas.identity import identity_of, identity_of_content
from schemas.parsing.tolerant import without_nul
from tests.fuzz.judge import EVENT_ID, ZONE
from tests.fuzz.mutations import places
from tests.fuzz.strategies import DELIVERY, ENVELOPE, FLAT, ORDER, Dialect, Document, documents, ids, written
from tests.unit.test_properties_bodies import moderate, seeds

KEY = "x_new"


def content(body: bytes) -> str:
    return identity_of_content("instacart", body)


def shuffled(value: Any, rng: Random) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key], rng) for key in rng.sample(list(value), len(value))}
    return [shuffled(each, rng) for each in value] if isinstance(value, list) else value


def rewritten(body: bytes, rng: Random) -> bytes:
    """The same document in another order of keys and with other white space."""
    document = msgspec.json.Decoder(Any, float_hook=msgspec.Raw).decode(body)
    return b"\r\n" + msgspec.json.format(msgspec.json.encode(shuffled(document, rng)), indent=rng.randrange(6)) + b"\t"


def changed(body: bytes, rng: Random) -> bytes:
    """One member or element, wherever, is another one, is gone, or is new; or a list has another order."""
    document = msgspec.json.Decoder(Any, float_hook=msgspec.Raw).decode(body)
    inside, at = rng.choice(list(places(document)))
    change = rng.choice(("replace", "remove", "add", "turn"))
    if change == "remove":
        del inside[at]
    elif change == "add":
        inside.update({KEY: None}) if isinstance(inside, dict) else inside.append(None)
    elif change == "turn" and isinstance(inside, list) and msgspec.json.encode(inside) != msgspec.json.encode(inside[::-1]):
        inside.reverse()
    else:
        inside[at] = [inside[at]] if isinstance(inside[at], dict | list | msgspec.Raw) else f"{inside[at]}~"
    return msgspec.json.encode(document)


def identity(dialect: Dialect, body: bytes) -> str:
    return decode(dialect.provider, body, EVENT_ID, ZONE).identity


@pytest.mark.parametrize("dialect", [FLAT, ENVELOPE, ORDER, DELIVERY], ids=["flat", "envelope", "order", "delivery"])
def test_white_space_and_the_order_of_keys_do_not_count(dialect: Dialect) -> None:
    @given(documents(dialect), seeds)
    @moderate
    def same(document: Document, seed: int) -> None:
        body, other = written(document), rewritten(written(document), Random(seed))  # noqa: S311 - to be made again
        assert identity(dialect, body) == identity(dialect, other)
        assert content(body) == content(other)

    same()


@given(documents(FLAT) | documents(ENVELOPE) | documents(ORDER) | documents(DELIVERY), seeds)
@moderate
def test_any_change_anywhere_is_other_content(document: Document, seed: int) -> None:
    body = written(document)
    assert content(body) != content(changed(body, Random(seed)))  # noqa: S311


@given(documents(FLAT))
@moderate
def test_a_flat_body_is_known_by_its_content(document: Document) -> None:
    assert identity(FLAT, written(document)) == content(without_nul(written(document)))


@given(
    documents(ENVELOPE),
    documents(ENVELOPE),
    st.integers(1, 2**64),
    st.integers(1, 2**64),
    st.sampled_from(["40Z", "41Z", "40+00:00"]),
)
@moderate
def test_an_envelope_is_known_by_its_id_with_its_time_alone(
    one: Document, other: Document, theirs: int, another: int, end: str
) -> None:
    at = f"2024-11-22T16:31:{end}"
    known = identity(ENVELOPE, written(one | {"event_id": theirs, "event_timestamp": at}))
    assert known == identity(ENVELOPE, written(other | {"event_id": str(theirs), "event_timestamp": at}))
    assert known == identity_of("instacart", str(theirs), at)
    assert known != identity(ENVELOPE, written(one | {"event_id": theirs, "event_timestamp": "2024-11-22T16:31:42Z"}))
    assert (known == identity(ENVELOPE, written(one | {"event_id": another, "event_timestamp": at}))) == (theirs == another)


@given(documents(ENVELOPE))
@moderate
def test_an_envelope_without_both_is_known_by_its_content(document: Document) -> None:
    assume(document.get("event_id") in {None, ""} or document.get("event_timestamp") is None)
    assert identity(ENVELOPE, written(document)) == content(without_nul(written(document)))


@given(documents(ORDER), documents(DELIVERY), ids, ids)
@moderate
def test_an_afosto_body_is_known_by_its_message_id_alone(one: Document, other: Document, message: str, another: str) -> None:
    known = identity(ORDER, written(one | {"message_id": message}))
    assert known == identity(DELIVERY, written(other | {"message_id": message}))
    assert (known == identity(ORDER, written(one | {"message_id": another}))) == (message == another)
    assert identity(ORDER, written(one | {"message_id": None})) == identity_of_content(
        "afosto", without_nul(written(one | {"message_id": None}))
    )


def test_a_number_in_another_notation_is_a_new_event_and_minus_zero_is_zero() -> None:
    """Content is compared as written, not as computed: erring on the side of news, because effects are idempotent anyway."""
    spellings = ["1", "1.0", "1.00", "1e0", "1E0", "10e-1", '"1"', "true", "0", "0.0", "-0.0"]
    assert len({content(b'{"quantity":%s}' % each.encode()) for each in spellings}) == len(spellings)
    assert content(b'{"quantity":-0}') == content(b'{"quantity":0}')


def test_of_a_key_given_twice_the_last_counts_as_it_does_when_it_is_read() -> None:
    assert content(b'{"a":1,"a":2}') == content(b'{"a":2}') != content(b'{"a":1}')
