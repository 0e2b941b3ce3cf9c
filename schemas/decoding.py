"""Decodes raw bytes into an `Event`, for every provider. Pure. Raises only `DecodeError`."""

import re
from codecs import BOM_UTF8
from datetime import tzinfo

import msgspec

from schemas.compression import PLAIN, decompress
from schemas.contracts import CONTRACTS, Contract
from schemas.events import Event
from schemas.failures import DecodeError, Reason
from schemas.parsing.tolerant import CANNOT_READ, mended, without_nul
from schemas.request_context import NO_CONTEXT, RequestContext

MAX_BODY_BYTES = 1 << 20
"""The default limit of a body, also after decompression."""

_TYPES = re.compile(r"`([^`]*)`")
_JSON_WORDS = {"decimal": "number", "int": "integer", "float": "number", "str": "string", "bool": "boolean"}
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_REWORDED = {
    "Invalid decimal string": "expected a decimal number, got other text",
    "Integer value out of range": "expected a number we can hold, got a larger one",
    "Number out of range": "expected a number we can hold, got a larger one",
    "Input data was truncated": "a body or a text that ends too early",
}
"""Messages of msgspec that do not name both what it expected and what it found, each with a better one."""


def decode(
    provider: str,
    body: bytes,
    event_id: str,
    zone: tzinfo,
    request: RequestContext = NO_CONTEXT,
    *,
    limit_bytes: int = MAX_BODY_BYTES,
) -> Event:
    """Decode one inbox entry.

    `event_id` is its stream id, `zone` the time zone of times without an offset, `request` the request context.
    `limit_bytes` is how large a compressed body may become. Raises `DecodeError`, whose text names the place in the document
    (`$.items[2].quantity: expected number, got array`) and quotes no value.
    """
    contract = CONTRACTS.get(provider)
    if contract is None:
        raise DecodeError(Reason.UNKNOWN_PROVIDER, f"provider: expected one of {', '.join(CONTRACTS)}, got another")
    if body[:1] != PLAIN:
        body = decompress(body, request.content_encoding, limit_bytes).body
    try:
        event = contract.decode(without_nul(body) if b"\\" in body else body, event_id, zone)
    except CANNOT_READ as error:
        event = _decode_mended(contract, body, event_id, zone, error)
    if event.provider != provider:
        raise TypeError(f"a bug in the decoder of {provider}: its event names another provider")
    return event if request is NO_CONTEXT else msgspec.structs.replace(event, request=request)


def _decode_mended(contract: Contract, body: bytes, event_id: str, zone: tzinfo, error: Exception) -> Event:
    """Decode a body that a decoder could not read, with the parts mended that kept it from being read, if that helps."""
    better = mended(body)
    try:
        if better == body:
            raise error
        event = contract.decode(better, event_id, zone)
    except CANNOT_READ:
        first = _first_error(contract, body, event_id, zone, error)
        raise _refusal(first, body) from first
    return msgspec.structs.replace(event, mended=True)


def _first_error(contract: Contract, body: bytes, event_id: str, zone: tzinfo, error: Exception) -> Exception:
    """The error of the body as it came, whose places are those of the body: the one that was tried had no NUL."""
    try:
        contract.decode(body, event_id, zone)
    except CANNOT_READ as first:
        return first
    return error


def _refusal(error: Exception, body: bytes) -> DecodeError:
    if isinstance(error, msgspec.ValidationError):
        return DecodeError(Reason.WRONG_TYPE, _name_the_place(error))
    if isinstance(error, UnicodeDecodeError):
        return DecodeError(Reason.MALFORMED, f"$: expected UTF-8, got another byte at {_first_bad_byte(body)}")
    if isinstance(error, RecursionError):
        return DecodeError(Reason.MALFORMED, "$: expected JSON, got it nested too deep")
    return DecodeError(Reason.MALFORMED, f"$: expected JSON, got {_name_the_defect(error, body)}")


def _name_the_place(error: msgspec.ValidationError) -> str:
    match = _PLACE.match(str(error))
    what, path = (match["what"], match["path"]) if match else (str(error), None)
    return f"{path or '$'}: {_REWORDED.get(what) or _TYPES.sub(_in_json_words, what).replace('Expected', 'expected', 1)}"


def _in_json_words(types: re.Match[str]) -> str:
    """The types in JSON's words, without null."""
    names = [_JSON_WORDS.get(name, name) for name in types[1].split(" | ")]
    return " or ".join(dict.fromkeys(name for name in names if name != "null" or len(names) == 1))


def _name_the_defect(error: Exception, body: bytes) -> str:
    if body.startswith(BOM_UTF8):
        return "a byte order mark before it"
    what = str(error)
    return _REWORDED.get(what) or what.removeprefix("JSON is malformed: ")


def _first_bad_byte(body: bytes) -> int:
    """The offset of the first byte that is not UTF-8. msgspec counts within the current string only."""
    try:
        return len(body.decode())
    except UnicodeDecodeError as error:
        return error.start
