"""Content codings (RFC 9110, 8.4.1): which ones we read, and what a Content-Encoding header says. Pure.

The ingress refuses a body under any other coding. The workers remove the codings: see `schemas.compression`.
"""

GZIP, DEFLATE, BR, ZSTD = "gzip", "deflate", "br", "zstd"
KNOWN = (GZIP, DEFLATE, BR, ZSTD)
MAX_CODINGS = 2
"""A body is compressed twice at most: once by the provider, and once more by something on the way."""
MAX_HEADER_CHARS = 256
"""A longer header is none that a provider sends. The request context keeps a header of this length whole."""

_CODINGS = dict(zip(KNOWN, KNOWN, strict=True)) | {"x-gzip": GZIP}
_NO_CODING = frozenset(("", "identity", "none", "utf-8", "utf8"))
"""`identity` is the standard's name. The others are mistakes that senders make: they name no way to compress a body."""


def codings_of(content_encoding: str) -> tuple[str, ...] | None:
    """The codings that a header names, in the order in which they were applied. None if we cannot read such a body."""
    if len(content_encoding) > MAX_HEADER_CHARS:
        return None
    named = [name for each in content_encoding.split(",") if (name := each.strip().lower()) not in _NO_CODING]
    if len(named) > MAX_CODINGS or any(name not in _CODINGS for name in named):
        return None
    return tuple(_CODINGS[name] for name in named)
