"""Every row of the table of messages: named, typed, decoded in each dialect, and in the published document."""

import json
from datetime import UTC
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from deploy.documents.files import path_of
from schemas.contracts import CONTRACTS
from schemas.decoding import decode
from schemas.drift import compare
from schemas.events import Kind, Provider
from schemas.messages import MESSAGES, NOT_PUBLISHED, Message
from tests.payloads import all_recorded, recorded

DOCUMENT: dict[str, Any] = json.loads(path_of("asyncapi").read_bytes())
INSTACART = [each for each in MESSAGES if each.provider is Provider.INSTACART]
AFOSTO = [each for each in MESSAGES if each.provider is Provider.AFOSTO]
DIALECTS = {"flat": "event", "envelope": "event_name"}
ROWS = [(dialect, each) for dialect in DIALECTS for each in INSTACART] + [("afosto", each) for each in AFOSTO]
IDS = [f"{dialect}-{each.name}" for dialect, each in ROWS]


def body_of(dialect: str, message: Message) -> bytes:
    """The recorded body of a message."""
    if message.provider is Provider.AFOSTO:
        return recorded(f"afosto/{message.name.lower()}")
    return recorded(f"instacart/{dialect}/{message.kind.value}")


def documented(dialect: str, message: Message) -> dict[str, Any]:
    """What the document says of it."""
    name = message.name.lower() if message.provider is Provider.AFOSTO else f"{dialect}_{message.kind.value}"
    found: dict[str, Any] = DOCUMENT["components"]["messages"][name]
    return found


def validator(schema: Any) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def renamed(body: bytes, dialect: str, name: str) -> bytes:
    return json.dumps({**json.loads(body), DIALECTS[dialect]: name}).encode()


def test_the_table_holds_what_the_providers_publish() -> None:
    assert len(INSTACART) == 12
    assert len(AFOSTO) == 5
    assert len({*(each.title for each in INSTACART), *NOT_PUBLISHED}) == 28, "Instacart's documentation lists 28 by title"


@pytest.mark.parametrize(("dialect", "message"), ROWS, ids=IDS)
def test_a_message_is_typed_decoded_and_documented(dialect: str, message: Message) -> None:
    body, told = body_of(dialect, message), documented(dialect, message)
    event = decode(message.provider, body, "1732230000000-0", UTC)
    assert event.kind is message.kind
    assert event.name in (message.name, *message.aliases)
    document = msgspec.json.decode(body)
    assert compare(document, CONTRACTS[message.provider].shape_for(document))[0] == []
    assert (told["name"], told["title"], told["summary"]) == (message.name, message.title, message.summary)
    assert told["examples"][0]["payload"] == document
    validator(told["payload"]).validate(document)
    assert not validator(told["payload"]).is_valid({**document, DIALECTS.get(dialect, "event"): "another"})


@pytest.mark.parametrize(
    ("dialect", "message", "alias"),
    [(dialect, each, alias) for dialect in DIALECTS for each in INSTACART for alias in each.aliases],
)
def test_an_alias_decodes_to_the_same_event(dialect: str, message: Message, alias: str) -> None:
    body = renamed(body_of(dialect, message), dialect, alias)
    assert decode(message.provider, body, "1732230000000-0", UTC).kind is message.kind
    validator(documented(dialect, message)["payload"]).validate(json.loads(body))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("title", NOT_PUBLISHED)
def test_a_callback_whose_string_is_not_public_is_kept_under_its_own_name(dialect: str, title: str) -> None:
    name = "fulfillment." + title.lower().replace(" ", "_")
    body = renamed(recorded(f"instacart/{dialect}/picking"), dialect, name)
    event = decode(Provider.INSTACART, body, "1732230000000-0", UTC)
    assert (event.kind, event.name) == (Kind.UNRECOGNISED, name)
    other = DOCUMENT["components"]["messages"][f"{dialect}_other"]
    assert title in other["description"]
    validator(other["payload"]).validate(json.loads(body))


@pytest.mark.parametrize("name", all_recorded())
def test_every_recorded_body_decodes_with_the_present_code(name: str) -> None:
    """Bodies of every release are kept: what was received once must be readable for ever."""
    event = decode(name.partition("/")[0], recorded(name), "1732230000000-0", UTC)
    assert event.kind is not Kind.UNRECOGNISED
    assert event.order_ids
