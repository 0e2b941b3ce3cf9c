"""The stored context of an event's HTTP request: its sender, its format and its trace.

It holds the headers of `COMMON`, those that the provider's contract names (`kept_headers`), and the client address, all
bounded. The ingress encodes it as one field of the inbox entry (`schemas.keys.FIELD_REQUEST`). Handlers and failure records get
it with the event. Every value is untrusted text in printable ASCII. Pure.
"""

import re

import msgspec

MAX_VALUE_BYTES = 256
"""Limit of one header; the rest is cut off. `tracestate` is cut at a member, since half of one means something else."""
MAX_BYTES = 1024
"""Limit of the encoded context. The least important fields are left out to meet it."""

COMMON = {
    b"user-agent": "user_agent",
    b"content-type": "content_type",
    b"content-encoding": "content_encoding",
    b"traceparent": "traceparent",
    b"tracestate": "tracestate",
}
"""Headers kept for every provider, each with its field of `RequestContext`."""

LEAST_FIRST = ("tracestate", "user_agent", "content_type", "content_encoding", "traceparent")
"""The order in which fields are left out."""

_CREDENTIAL = re.compile(
    r"authorization|\bauth\b|cookie|credential|signature|\bsig\b|hmac|jwt|token|secret|passw|api-?key", re.IGNORECASE
)


class KeptHeaderError(ValueError):
    """A contract names a header that must not be kept. `str()` says which."""


class RequestContext(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The context of one request. The field of an absent header is empty. A new field needs a default.

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
"""The context of an event without one: from an older release, or injected without a request."""

encode_context = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RequestContext).decode


def decode_context(encoded: bytes) -> RequestContext:
    """Decode the field of an inbox entry. Returns `NO_CONTEXT` if this release cannot read it: no event fails because of it."""
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
