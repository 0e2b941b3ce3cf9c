"""The request context: what is kept of the HTTP request that delivered an event, such as sender, form and trace.

It holds the headers of `COMMON`, those that the provider's contract names (`kept_headers`), and the client's address. The
ingress encodes it as one field of the inbox entry (`schemas.keys.FIELD_REQUEST`); handlers and failures get it with the event.
Every value is untrusted text in printable ASCII, and bounded. Pure.
"""

import re

import msgspec

MAX_VALUE_BYTES = 256
"""The limit of one header; the rest is cut off. Of `tracestate` whole members are dropped, since half of one means something else."""
MAX_BYTES = 1024
"""The limit of the encoded context. Beyond it the least important fields are dropped."""

COMMON = {
    b"user-agent": "user_agent",
    b"content-type": "content_type",
    b"content-encoding": "content_encoding",
    b"traceparent": "traceparent",
    b"tracestate": "tracestate",
}
"""Headers kept for every provider, each with its field of `RequestContext`."""

LEAST_FIRST = ("tracestate", "user_agent", "content_type", "traceparent")
"""The order in which fields are dropped, before `headers`. Never dropped: `peer`, and `content_encoding`, without which a body cannot be read."""

_CREDENTIAL = re.compile(
    r"authorization|\bauth\b|cookie|credential|signature|\bsig\b|hmac|jwt|token|secret|passw|api-?key", re.IGNORECASE
)


class KeptHeaderError(ValueError):
    """A contract names a header that must not be kept. `str()` says which."""


class RequestContext(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The context of one request. A field is empty if the header is missing. The wire only grows: a new field needs a default.

    - `peer`: the client's address, see `ingress.client_addresses`.
    - `traceparent`, `tracestate`: the sender's trace (W3C Trace Context), as sent and not checked.
    - `headers`: those that the provider's contract names, under their names in lower case.
    """

    peer: str = ""
    user_agent: str = ""
    content_type: str = ""
    content_encoding: str = ""
    traceparent: str = ""
    tracestate: str = ""
    headers: dict[str, str] = {}


NO_CONTEXT = RequestContext()
"""The context of an event without one: appended by hand, or by a release that kept none."""

encode_context = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RequestContext).decode


def decode_context(encoded: bytes) -> RequestContext:
    """Decode the field of an inbox entry. An unreadable one gives `NO_CONTEXT`: no event fails because of it."""
    if not encoded:
        return NO_CONTEXT
    try:
        return _decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return NO_CONTEXT


def kept_names(headers: tuple[str, ...]) -> dict[bytes, str]:
    """A contract's `kept_headers`, each as the server gives its name and as handlers read it.

    Raises `KeptHeaderError` if a name shows that the header holds a credential: credentials are never stored.
    """
    if refused := [name for name in headers if _CREDENTIAL.search(name)]:
        raise KeptHeaderError(f"kept_headers: {', '.join(refused)} may hold a credential, and those are never stored")
    return {name.lower().encode(): name.lower() for name in headers}
