"""Damaged bodies, as bugs, attackers or faulty lines produce them. Seeded, so each can be generated again.

A document is damaged at one place in its tree, or its bytes are. `msgspec.Raw` stands in the tree for what is no JSON value: a
number that no float holds, a key given twice.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import msgspec
from msgspec import Raw

from tests.fuzz.odd import BAD_UTF8, CANARY, odd_value
from tests.support.compressed import COMPRESS, raw_deflate

_read = msgspec.json.Decoder(Any, float_hook=Raw).decode
_write = msgspec.json.encode

DEPTHS = (*((2, 41, 101, 500, 990, 1100) * 5), 20_000)
CHARSETS = ("utf-16", "utf-16-le", "utf-32", "utf-7", "utf-8-sig", "cp037")


def mutated(body: bytes, rng: Random) -> bytes:
    """The body with one to four defects, of its document where it still is one, else of its bytes."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        body = _damaged_document(body, rng) if rng.random() < 0.85 else rng.choice(_OF_BYTES)(body, rng)
    return body


def _damaged_document(body: bytes, rng: Random) -> bytes:
    try:
        document = _read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return rng.choice(_OF_BYTES)(body, rng)
    everywhere = list(places(document))
    if not everywhere:
        return odd_value(rng)
    container, at = rng.choice(everywhere)
    rng.choice(_OF_DOCUMENTS)(container, at, rng)
    return _write(document)


def places(value: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Every member of every object, every element of every list, to a depth that no provider reaches."""
    if depth > 50:
        return
    if isinstance(value, dict):
        for key, each in value.items():
            yield value, key
            yield from places(each, depth + 1)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield value, number
            yield from places(each, depth + 1)


def _drop(inside: Any, at: Any, _rng: Random) -> None:
    del inside[at]


def _rename(inside: Any, at: Any, rng: Random) -> None:
    if isinstance(inside, dict):
        other = rng.choice((at.upper(), at + " ", at[:-1], at[1:], f"x_{at}", CANARY, "", *inside))
        inside[other] = inside.pop(at)


def _retype(inside: Any, at: Any, rng: Random) -> None:
    inside[at] = Raw(odd_value(rng))


def _retype_as_text(inside: Any, at: Any, _rng: Random) -> None:
    if not isinstance(inside[at], dict | list | Raw):
        inside[at] = str(inside[at])


def _wrap(inside: Any, at: Any, rng: Random) -> None:
    inside[at] = [inside[at]] if rng.random() < 0.7 else {rng.choice(("id", "items", "order")): inside[at]}


def _add_unknown(inside: Any, _at: Any, rng: Random) -> None:
    value = Raw(odd_value(rng))
    if isinstance(inside, dict):
        inside[rng.choice(("retailer_id", "tip", CANARY, "", "x" * 300, "\0"))] = value
    else:
        inside.insert(rng.randrange(len(inside) + 1), value)


def _give_twice(inside: Any, at: Any, rng: Random) -> None:
    """A key that stands twice in its object, or an element twice in its list."""
    if isinstance(inside, list):
        inside.append(inside[at])
    else:
        inside[at] = Raw(_write(inside[at]) + b"," + _write(at) + b":" + odd_value(rng))


def _nest(inside: Any, at: Any, rng: Random) -> None:
    depth, inner = rng.choice(DEPTHS), _write(inside[at])
    opening, closing = rng.choice(((b"[", b"]"), (b'{"order":', b"}")))
    inside[at] = Raw(opening * depth + inner + closing * depth)


def _copy_over(inside: Any, at: Any, rng: Random) -> None:
    inside[at] = rng.choice(list(inside.values()) if isinstance(inside, dict) else inside)
    if isinstance(inside[at], dict | list):
        inside[at] = Raw(_write(inside[at]))


def _truncate(body: bytes, rng: Random) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _mark(body: bytes, _rng: Random) -> bytes:
    return b"\xef\xbb\xbf" + body


def _spoil_utf8(body: bytes, rng: Random) -> bytes:
    return _insert(body, rng.choice(BAD_UTF8), rng)


def _insert_odd(body: bytes, rng: Random) -> bytes:
    return _insert(body, odd_value(rng), rng)


def _insert(body: bytes, what: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(body) + 1)
    return body[:at] + what + body[at + rng.choice((0, 0, 1, len(what))) :]


def _flip(body: bytes, rng: Random) -> bytes:
    flipped = bytearray(body)
    for _ in range(rng.randint(1, 3) if body else 0):
        flipped[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def _cut_out(body: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(body) + 1)
    return body[:start] + body[start + int(rng.expovariate(0.1)) :]


def _repeat(body: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(body) + 1)
    piece = body[start : start + int(rng.expovariate(0.05))]
    return body[:start] + piece + body[start:]


def _recode(body: bytes, rng: Random) -> bytes:
    return body.decode("utf-8", "replace").encode(rng.choice(CHARSETS), "replace")


def _compress(body: bytes, rng: Random) -> bytes:
    return rng.choice((*COMPRESS.values(), raw_deflate))(body)


def _space(body: bytes, rng: Random) -> bytes:
    return body.replace(b",", rng.choice((b" ,\n", b",\t", b"\r\n,", b",\x0c", b",\xc2\xa0")))


_OF_DOCUMENTS: tuple[Callable[[Any, Any, Random], None], ...] = (
    _drop, _rename, _retype, _retype, _retype, _retype_as_text, _wrap, _add_unknown, _give_twice, _nest, _copy_over,
)  # fmt: skip
_OF_BYTES: tuple[Callable[[bytes, Random], bytes], ...] = (
    _truncate, _mark, _spoil_utf8, _insert_odd, _flip, _cut_out, _repeat, _recode, _space, _compress,
)  # fmt: skip
