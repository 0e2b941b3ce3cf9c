"""Identity: what makes two bodies the same event.

A body with a known identity is a redelivery and is dropped. The identity is never (order, event): an order may return to an
earlier status, and the provider then correctly sends that event again.
"""

from binascii import b2a_base64
from hashlib import blake2b
from typing import Any

import msgspec

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_decode_exactly = msgspec.json.Decoder(Any, float_hook=msgspec.Raw).decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def identity_of(*parts: str) -> str:
    """Digest parts that together name one event at its provider: 22 characters, 128 bits."""
    return _digest("\0".join(parts).encode())


def identity_of_content(provider: str, body: bytes) -> str:
    """Digest the content of a JSON document: white space and key order do not count, everything else does.

    Fractions keep their literal form, so that no two different ones become the same float. A body that cannot be read in full,
    for a number beyond any type, say, is digested byte by byte: a duplicate that is handled twice is better than a lost event.
    """
    try:
        content = _encode_sorted(_decode_exactly(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        content = body
    return _digest(provider.encode() + b"\0content\0" + content)


def _digest(content: bytes) -> str:
    return b2a_base64(blake2b(content, digest_size=16).digest())[:22].translate(_URL_SAFE).decode()
