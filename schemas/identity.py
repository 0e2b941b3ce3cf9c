"""Identity: what makes two bodies the same event.

An event with a known identity is a redelivery and is dropped. The identity is never (order, event): an order may revert to an
earlier status, and then the provider truthfully sends the same event again.
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

    Fractions keep their literal form, so two different ones never become the same float. If a number cannot be decoded, the raw
    bytes are digested: a redelivery may then count as a new event, but no event is lost. Raises `msgspec.DecodeError`.
    """
    try:
        content = _encode_sorted(_decode_exactly(body))
    except msgspec.ValidationError:
        content = body
    return _digest(provider.encode() + b"\0content\0" + content)


def _digest(content: bytes) -> str:
    return b2a_base64(blake2b(content, digest_size=16).digest())[:22].translate(_URL_SAFE).decode()
