"""What is kept of the HTTP request that brought an event: who sent it, in which form, and as part of which trace.

Few, named and bounded: the headers of `COMMON`, those that the provider's contract names (`kept_headers`), the sender's address. The
ingress encodes them as one field of the inbox entry (`schemas.keys.FIELD_REQUEST`); from there they go with the event to the handlers
and into the record of a failure. Every value is a stranger's text in printable ASCII. Pure.
"""

import re

import msgspec

MAX_VALUE_BYTES = 256
"""Of one header; the rest is cut off. Of `tracestate` whole members are left out, since half of one means something else."""
MAX_BYTES = 1024
"""Of all of it, encoded. Where that is not enough, what matters least is left out."""

COMMON = {
    b"user-agent": "user_agent",
    b"content-type": "content_type",
    b"content-encoding": "content_encoding",
    b"traceparent": "traceparent",
    b"tracestate": "tracestate",
}
"""Headers kept for every provider, each with its field of `RequestContext`."""

LEAST_FIRST = ("tracestate", "user_agent", "content_type", "content_encoding", "traceparent")
"""In which order fields are left out."""

_CREDENTIAL = re.compile(
    r"authorization|\bauth\b|cookie|credential|signature|\bsig\b|hmac|jwt|token|secret|passw|api-?key", re.IGNORECASE
)


class KeptHeaderError(ValueError):
    """A contract names a header that must not be kept. `str()` says which."""


class RequestContext(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Of one request. A field is empty where the header did not come. The wire only grows: a new field needs a default.

    - `peer`: the sender's address, see `ingress.client_addresses`.
    - `traceparent`, `tracestate`: the sender's trace (W3C Trace Context), as sent and not checked.
    - `headers`: those that the provider's contract names, by their names in lower case.
    """

    peer: str = ""
    user_agent: str = ""
    content_type: str = ""
    content_encoding: str = ""
    traceparent: str = ""
    tracestate: str = ""
    headers: dict[str, str] = {}


NO_CONTEXT = RequestContext()
"""Of an event that was taken in by a release which kept nothing, or by hand."""

encode_context = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RequestContext).decode


def decode_context(encoded: bytes) -> RequestContext:
    """Of an inbox entry's field. What this release cannot read is as if nothing was kept: no event fails because of it."""
    if not encoded:
        return NO_CONTEXT
    try:
        return _decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return NO_CONTEXT


def kept_names(headers: tuple[str, ...]) -> dict[bytes, str]:
    """A contract's `kept_headers` as a server gives header names, and as handlers read them.

    Raises `KeptHeaderError` for one whose name says that it holds a credential: none is ever stored.
    """
    if refused := [name for name in headers if _CREDENTIAL.search(name)]:
        raise KeptHeaderError(f"kept_headers: {', '.join(refused)} may hold a credential, and those are never stored")
    return {name.lower().encode(): name.lower() for name in headers}
