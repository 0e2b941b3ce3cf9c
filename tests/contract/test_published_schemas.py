"""Everything that the published AsyncAPI document and examples allow decodes.

The two payload schemas are transcribed from "Instacart Connect Event Callbacks" 2.0 (AsyncAPI 2.6.0); its 12 messages use one
or the other. It requires nothing, but an event without a name or an order cannot be placed (`no_event`, `no_order`): bodies are
generated with `event` and `order_id`, the id not empty, and ids as short as a key may be. They hold additional properties, as
the schemas allow them.
"""

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema

from schemas.decoding import decode
from schemas.events import Event, Kind
from schemas.parsing.texts import MAX_KEY_CHARS
from tests.payloads import recorded

LIFE_CYCLE = ("order_created", "acknowledged", "picking", "staging", "delivering", "delivered", "canceled", "rescheduled")
ORDER_MESSAGES = (*LIFE_CYCLE, "late_delivery", "customer_mia")
ITEM_MESSAGES = ("order_item_replacement", "order_item_refund")
TEXT: dict[str, Any] = {"type": "string"}
TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
CODE: dict[str, Any] = {"type": "string", "maxLength": MAX_KEY_CHARS}
KEY: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS}
ORDER_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event": TEXT,
        "order_id": TEXT,
        "status": {
            "type": "string",
            "enum": ["brand_new", "acknowledged", "picking", "staging", "delivering", "delivered", "canceled", "rescheduled"],
        },
        "timestamp": TIME,
        "order": {
            "type": "object",
            "properties": {
                "id": TEXT,
                "user_id": TEXT,
                "fulfillment_type": {"type": "string", "enum": ["delivery", "pickup", "last_mile"]},
                "created_at": TIME,
                "estimated_delivery_at": TIME,
            },
        },
    },
}
ITEM_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event": TEXT,
        "order_id": TEXT,
        "timestamp": TIME,
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "product_id": CODE,
                    "name": TEXT,
                    "quantity": {"type": "integer"},
                    "status": {"type": "string", "enum": ["found", "replaced", "refunded", "pending"]},
                    "refunded": {"type": "boolean"},
                    "replacement": {
                        "type": "object",
                        "properties": {"product_id": CODE, "name": TEXT, "quantity": {"type": "integer"}},
                    },
                },
            },
        },
    },
}
OTHERS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
additional = st.dictionaries(st.text(max_size=9).map("x_{}".format), OTHERS | st.lists(OTHERS, max_size=2), max_size=2)
moderate = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def from_published(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Documents that keep to a schema.

    Objects are put together here: `from_schema` of an object calls an internal that newer releases of Hypothesis no longer
    have.
    """
    if schema.get("type") == "array":
        return st.lists(from_published(schema["items"]), max_size=4)
    if schema.get("type") != "object":
        strategy: st.SearchStrategy[Any] = from_schema(schema)
        return strategy
    fields = {name: from_published(each) for name, each in schema["properties"].items()}
    required = {name: fields.pop(name) for name in schema.get("required", ())}
    return st.builds(lambda known, more: more | known, st.fixed_dictionaries(required, optional=fields), additional)


def placeable(schema: dict[str, Any], names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of a payload schema that say what happened, and to which order."""
    keys = {"event": {"enum": [f"fulfillment.{name}" for name in names]}, "order_id": KEY}
    return from_published(schema | {"properties": schema["properties"] | keys, "required": list(keys)})


def read(body: Any) -> Event:
    return decode("instacart", msgspec.json.encode(body), "1732300000123-4", ZoneInfo("America/New_York"))


def check(event: Event, body: dict[str, Any]) -> None:
    """What holds of every event that a body of the published schemas becomes."""
    assert event.kind is Kind(body["event"].removeprefix("fulfillment."))
    assert event.order_ids == (body["order_id"].replace("\0", "\ufffd"),)
    assert event.occurred_at.tzinfo is UTC
    assert "timestamp" in body or event.occurred_at == event.received_at
    assert event.has_time or body.get("timestamp", "") < "2000-01-02"
    assert [line.quantity for line in event.lines] == [item.get("quantity") for item in body.get("items", [])]
    assert len({line.line for line in event.lines}) == len(event.lines)


@given(placeable(ORDER_EVENT, ORDER_MESSAGES))
@moderate
def test_every_order_event_that_the_document_allows_is_read(body: dict[str, Any]) -> None:
    event = read(body)
    check(event, {**body, "items": []})
    estimate = body.get("order", {}).get("estimated_delivery_at", "")
    assert event.promised_at is None or estimate >= "1999-12-31"
    assert event.promised_at is not None or estimate < "2000-01-02", "a year before 2000 promises nothing"


@given(placeable(ITEM_EVENT, ITEM_MESSAGES))
@moderate
def test_every_item_event_that_the_document_allows_is_read(body: dict[str, Any]) -> None:
    event = read(body)
    check(event, body)
    for line, item in zip(event.lines, body.get("items", []), strict=True):
        assert line.refunded == (item.get("refunded", False) or item.get("status") == "refunded")


@given(from_schema(TIME), st.sampled_from(["timestamp", "event_timestamp"]))
@settings(max_examples=200)
def test_every_date_time_that_the_format_allows_is_read(time: str, field: str) -> None:
    name = "event" if field == "timestamp" else "event_name"
    assert read({name: "picking", "order_id": "o", field: time}).occurred_at.tzinfo is UTC


@pytest.mark.parametrize(("schema", "names"), [(ORDER_EVENT, ORDER_MESSAGES), (ITEM_EVENT, ITEM_MESSAGES)])
def test_the_recorded_flat_bodies_keep_to_the_document(schema: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        body = msgspec.json.decode(recorded(f"instacart/flat/{name}"))
        assert body.keys() <= schema["properties"].keys()
        assert body["event"] == f"fulfillment.{name}"


def test_the_document_has_12_messages() -> None:
    assert len({*ORDER_MESSAGES, *ITEM_MESSAGES}) == 12


@pytest.mark.parametrize("name", ["order_opened", "delivered"])
def test_the_published_afosto_examples_are_read(name: str) -> None:
    assert decode("afosto", recorded(f"afosto/{name}"), "1714050000123-0", UTC).kind is Kind(name)
