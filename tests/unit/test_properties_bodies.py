"""Everything that the wire models allow is read exactly: ids, times and quantities, in every dialect and event."""

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.decoding import decode
from schemas.events import Event
from tests.fuzz.judge import EVENT_ID, ZONE, check_event, judged
from tests.fuzz.mutations import mutated
from tests.fuzz.odd import random_bytes
from tests.fuzz.strategies import DELIVERY, ENVELOPE, FLAT, ORDER, Dialect, Document, documents, written

moderate = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
seeds = st.integers(0, 2**32)
FROM_2000_MS = 946_684_800_000


def read(dialect: Dialect, document: Document, *, quoted: bool = False) -> Event:
    event = decode(dialect.provider, written(document, quoted=quoted), EVENT_ID, ZONE)
    check_event(event)
    return event


def occurred(time: datetime | None, event: Event) -> datetime:
    return event.received_at if time is None else time.astimezone(UTC)


def quantity(item: dict[str, Any]) -> Any:
    return item.get("quantity") if item.get("quantity") is not None else item.get("qty")


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts_in(each)
    elif isinstance(value, str):
        yield value


@given(documents(FLAT), st.booleans())
@moderate
def test_a_flat_body_says_the_same_as_its_document(document: Document, quoted: bool) -> None:
    event = read(FLAT, document, quoted=quoted)
    assert (event.name, event.order_ids) == (document["event"], (document["order_id"],))
    assert event.occurred_at == occurred(document.get("timestamp"), event)
    assert [line.quantity for line in event.lines] == [quantity(item) for item in document.get("items") or []]


@given(st.integers(2**53, 2**64), st.booleans())
@moderate
def test_an_event_id_above_2_53_is_exact(number: int, quoted: bool) -> None:
    document = {"event_name": "picking", "event_id": str(number) if quoted else number, "order_id": "o"}
    assert read(ENVELOPE, document).provider_event_id == str(number)


@given(documents(ENVELOPE), st.booleans())
@moderate
def test_an_envelope_says_the_same_as_its_document(document: Document, quoted: bool) -> None:
    event, metadata, theirs = read(ENVELOPE, document, quoted=quoted), document["event_metadata"], document.get("event_id")
    assert (event.name, event.order_ids) == (document["event_name"], (metadata["order_id"],))
    assert event.provider_event_id == (None if theirs is None or theirs == "" else str(theirs))
    assert event.occurred_at == occurred(document.get("event_timestamp"), event)
    assert [line.quantity for line in event.lines] == [quantity(item) for item in metadata.get("order_items") or []]


@given(documents(ORDER) | documents(DELIVERY))
@moderate
def test_an_afosto_body_says_the_same_as_its_document(document: Document) -> None:
    event, at = read(ORDER, document), document.get("triggered_at")
    assert (event.name, event.provider_event_id) == (document["event"], document.get("message_id") or None)
    milliseconds = round((event.occurred_at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    assert at is None or at < FROM_2000_MS or abs(milliseconds - at) < 1
    assert event.has_time or at is None or at < FROM_2000_MS
    assert {name.replace("\0", "\ufffd") for name in texts_in(document)} >= set(event.order_ids)
    assert document["entity_type"] == "delivery" or event.order_ids == (document["entity_id"],)


@pytest.mark.parametrize("dialect", [FLAT, ENVELOPE, ORDER, DELIVERY], ids=["flat", "envelope", "order", "delivery"])
def test_a_damaged_body_is_decoded_or_refused_and_nothing_else(dialect: Dialect) -> None:
    @given(documents(dialect), seeds)
    @moderate
    def damaged(document: Document, seed: int) -> None:
        judged(mutated(written(document), Random(seed)))  # noqa: S311 - to be made again

    damaged()


@given(st.binary(max_size=200) | seeds.map(lambda seed: random_bytes(Random(seed))))  # noqa: S311
@moderate
def test_any_bytes_are_decoded_or_refused_and_nothing_else(body: bytes) -> None:
    judged(body)
