"""The judge: runs one body through all that reads a provider's bytes, and says what may never happen.

A decoder gives an event that the ledger can hold, or raises `DecodeError`, whose text names a place and is made of our own
words only: so it quotes nothing, whatever the body holds. Failure records are not read from outside: we write them, in msgpack.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from schemas.compression import decompress
from schemas.content_codings import KNOWN, MAX_CODINGS
from schemas.contracts import CONTRACTS
from schemas.decoding import MAX_BODY_BYTES, decode
from schemas.drift import compare
from schemas.events import Event, Provider
from schemas.failures import DecodeError, Reason
from schemas.masking import masked
from schemas.parsing.texts import MAX_KEY_CHARS
from schemas.parsing.times import read_time
from schemas.parsing.tolerant import CANNOT_READ, mended, read_document
from schemas.parsing.values import object_of
from schemas.providers.afosto import webhooks as afosto
from schemas.providers.instacart import callbacks as instacart
from tests.fuzz.placed import placed
from tests.fuzz.strategies import FIELDS

EVENT_ID = "1732300000123-4"
ZONE = ZoneInfo("America/New_York")
DECODED = "decoded"
provider_models: dict[str, Any] = {Provider.INSTACART: instacart, Provider.AFOSTO: afosto}
HEADERS = (*KNOWN, "gzip, br", "a coding of tomorrow")
"""Content-Encoding headers, each of which any body may have."""
_MESSAGE = re.compile(
    r"(?P<places>\$.*?)(?: \((?:the line's key|the substitute)\))?: (?P<text>expected .+, (?:got|found) .+)", re.DOTALL
)
_STEP = re.compile(r"\.(\w+)|\[(?:\d+|\.\.\.)?\]", re.ASCII)
_MARKS = re.compile(r"""[-'"(){}\[\],:]""")
_WORDS = """
    expected got found or of a an and the at most it in one none no too deep early ends that before another other larger out range can we hold
    array boolean integer null number object string text decimal date time quantity milliseconds since characters digits body id name
    order s event delivery JSON UTF utf 8 16 RFC 3339 1970 60 255 byte mark keys must be strings invalid trailing comma character unicode
    escape escaped hex surrogate pair unexpected end nested
    gzip deflate br zstd damaged data after decompression more window MiB KiB 1 2 100 codings parts
"""
"""All words of all messages, and the numbers that stand in them by themselves."""
_OUR_WORDS = frozenset(_WORDS.split())
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def judged(body: bytes, event_id: str = EVENT_ID) -> list[Event | str]:
    """What becomes of a body at every provider: its event, or the reason of its refusal. Raises if something else does."""
    check_masked(masked(body), body)
    read_time(body[:40].decode("utf-8", "replace"), ZONE)
    for header in HEADERS:
        check_decompressed(body, header)
    return [judged_at(provider, body, event_id) for provider in CONTRACTS]


def judged_at(provider: str, body: bytes, event_id: str = EVENT_ID) -> Event | str:
    """What becomes of a body at one provider."""
    must = placed(provider, body)
    try:
        event = decode(provider, body, event_id, ZONE)
    except DecodeError as refused:
        check_refusal(refused, _decompressed(body))
        if must is not None:
            raise AssertionError(f"refused, but names an order and a known kind: {refused}") from refused
        return refused.reason.value
    check_event(event)
    body = _decompressed(body)
    if must is not None:
        assert event.kind in must.kinds, f"read as {event.kind}, not as one of {sorted(must.kinds)}"
    for part in event.unreadable:
        check_message(f"{part.path}: {part.problem}", body)
    check_drift(provider, body)
    check_slow_path(event, body)
    return event


def check_slow_path(event: Event, body: bytes) -> None:
    """The slow path of decoding reads the same event as the fast one, where that can read the body."""
    model = provider_models.get(event.provider)
    if model is not None and mended(body) == body:
        slow = model.decode_document(object_of(read_document(body)), body, event.event_id, ZONE)
        assert msgspec.structs.replace(slow, mended=event.mended) == event, "two paths, two events"


def _decompressed(body: bytes) -> bytes:
    try:
        return decompress(body, "", MAX_BODY_BYTES).body
    except DecodeError:
        return body


def check_decompressed(body: bytes, header: str) -> None:
    """Whatever a header says of a body, it is read within the limit, or refused for its compression."""
    try:
        plain, codings = decompress(body, header, MAX_BODY_BYTES)
    except DecodeError as refused:
        check_refusal(refused, body, Reason.COMPRESSION)
    else:
        assert len(codings) <= MAX_CODINGS, "more codings than two"
        assert plain is body if not codings else len(plain) <= MAX_BODY_BYTES, "more than the limit"


def check_drift(provider: str, body: bytes) -> None:
    """Drift findings name fields by names of the models, or by names that look like one; never by their values."""
    try:
        document = read_document(body)
    except CANNOT_READ:
        return  # placed without being read in full; the alarm passes over it
    differences, _ = compare(document, CONTRACTS[provider].shape_for(document))
    assert not [each for each in differences if "@" in each.path or "@" in each.found], "an address is shown"


def check_refusal(refused: DecodeError, body: bytes, reason: Reason | None = None) -> None:
    """A refusal names fields that the models have, and says the rest in our own words."""
    assert refused.reason is (reason or refused.reason), "refused for another reason"
    message = str(refused)
    check_message(message, body)


def check_message(message: str, body: bytes) -> None:
    """A message names a place that the models have, and says the rest in our own words."""
    match = _MESSAGE.fullmatch(message)
    assert match, f"no message of ours: {message}"
    for place in match["places"].split(" or "):
        steps = _STEP.sub("", place.removeprefix("$"))
        assert not steps, f"a place with something else in it: {message}"
        assert FIELDS.issuperset(filter(None, _STEP.findall(place))), f"a place that no model has: {message}"
    said = _MARKS.sub(" ", match["text"]).split()
    strange = [word for word in said if word not in _OUR_WORDS and not _is_measure(word, body)]
    assert not strange, f"words that are not ours, {strange}: {message}"


def _is_measure(word: str, body: bytes) -> bool:
    """A place in the body, or the length of something in it."""
    return word.isascii() and word.isdecimal() and len(word) < 12 and int(word) <= len(body)


def check_event(event: Event) -> None:
    """Whatever decodes can be stored: keys that fit, no NUL, exact and bounded quantities, times in UTC."""
    keys = [event.name, *event.order_ids, *(line.line for line in event.lines)]
    keys += [line.substitute.product for line in event.lines if line.substitute]
    assert all(0 < len(key) <= MAX_KEY_CHARS for key in keys), "a key that does not fit"
    assert len(event.order_ids) == len(set(event.order_ids)) > 0, "no order, or one named twice"
    assert len({line.line for line in event.lines}) == len(event.lines), "two lines of one key"
    assert re.fullmatch(r"[\w-]{22}", event.identity, re.ASCII), "no identity"
    assert {time.tzinfo for time in _times(event)} == {UTC}, "a time that is not in UTC"
    assert all(quantity.is_finite() for quantity in _quantities(event)), "a quantity that is no number"
    assert not _NUL.search(msgspec.json.encode(event)), "a NUL"


def _times(event: Event) -> Iterator[datetime]:
    windows = (window for window in (event.window, event.new_window) if window)
    inside = (time for window in windows for time in (window.starts_at, window.ends_at))
    yield from (time for time in (event.occurred_at, event.received_at, event.promised_at, *inside) if time)


def _quantities(event: Event) -> Iterator[Decimal]:
    for line in event.lines:
        yield from (each.quantity for each in (line, line.substitute) if each and each.quantity is not None)


def check_masked(text: str, body: bytes) -> None:
    """What is shown of a body is JSON, or its size; and no address of an e-mail."""
    if text != f"{len(body)} bytes that are no JSON":
        json.loads(text)
    assert "@" not in text, "an address is shown"
