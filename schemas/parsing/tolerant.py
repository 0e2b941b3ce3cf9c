r"""Reads bodies that are nearly JSON: parts that no reader takes are mended, so that they do not cost the rest.

Mended are: a byte order mark, bytes that are no UTF-8 and half a surrogate pair (U+FFFD stands for them, as for NUL), control
characters in texts, parts nested too deep (null), and NaN, Infinity and numbers beyond any type (an empty object: no reader
takes it for a number or a text). What is still no JSON stays as it is.
"""

import re
from codecs import BOM_UTF8
from typing import Any

import msgspec

from schemas.parsing.values import decimal_of, object_of

MAX_DEPTH = 100
"""Deeper parts are left out: no reader of a body goes as deep, and none of a strict decoder's limits is as low."""
MAX_NUMBER_CHARS = 300
CANNOT_READ = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for a body that it cannot read."""

_TOKEN = re.compile(
    r'"(?:[^"\\]++|\\.|\\\Z)*+(?:"|\Z)|[\[{]|[\]}]|[-+]?(?:NaN|Infinity)|-?\d[\d.eE+-]*+',
    re.DOTALL | re.ASCII,
)
"""A text (or what is left of the body, if it does not end), a bracket, a number."""
_NO_NUMBER = re.compile(r"[-+]?[NI]|.*[eE][+-]?0*[1-9]\d{5}", re.ASCII)
_ODD_IN_TEXT = re.compile(r"[\0-\x1f]|\\u(?:[dD][89a-fA-F]|0000)")
_IN_TEXT = re.compile(
    r"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?P<bad>\\u(?:[dD][89a-fA-F][0-9a-fA-F]{2}|0000)|\0)"
    r"|\\.|(?P<control>[\x01-\x1f])",
    re.DOTALL,
)
_NUL, _BACKSLASH = b"\\u0000", b"\\"

_read = msgspec.json.Decoder(Any, float_hook=decimal_of).decode


def read_document(body: bytes) -> Any:
    """The document of a body, its fractions as `Decimal`, mended if need be. Raises one of `CANNOT_READ`, of the body as it is."""
    try:
        return _read(without_nul(body))
    except CANNOT_READ as error:
        try:
            return _read(mended(body))
        except CANNOT_READ:
            raise error from None


def object_in(body: bytes, error: Exception) -> dict[str, Any]:
    """The object that a body is, or holds as the only element of a list. A strict decoder refused the body with `error`.

    Raises that error if it holds none.
    """
    try:
        document = object_of(read_document(body))
    except CANNOT_READ:
        raise error from None
    if not isinstance(document, dict):
        raise error
    return document


def without_nul(body: bytes) -> bytes:
    """The body with U+FFFD for NUL, which JSON allows and PostgreSQL does not."""
    return mended(body) if _BACKSLASH in body and _NUL in body else body


def mended(body: bytes) -> bytes:
    """The body with every part mended that would keep it from being read."""
    text = body.removeprefix(BOM_UTF8).decode("utf-8", "replace")
    pieces: list[str] = []
    kept, depth = 0, 0
    for match in _TOKEN.finditer(text):
        piece = match[0]
        if piece in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                pieces.append(text[kept : match.start()])
        elif piece in "]}":
            if depth == MAX_DEPTH + 1:
                pieces.append("null")
                kept = match.end()
            depth -= 1
        elif depth <= MAX_DEPTH and (better := _mended(piece)) is not piece:
            pieces += (text[kept : match.start()], better)
            kept = match.end()
    if depth <= MAX_DEPTH:
        pieces.append(text[kept:])
    return "".join(pieces).encode()


def _mended(piece: str) -> str:
    if piece[0] == '"':
        return _IN_TEXT.sub(_mended_character, piece) if _ODD_IN_TEXT.search(piece) else piece
    return "{}" if len(piece) > MAX_NUMBER_CHARS or _NO_NUMBER.match(piece) else piece


def _mended_character(match: re.Match[str]) -> str:
    if match["bad"]:
        return "\\ufffd"
    return f"\\u{ord(match['control']):04x}" if match["control"] else match[0]
