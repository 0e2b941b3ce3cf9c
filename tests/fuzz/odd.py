"""Unexpected values as they are written in a body, and bytes that are no document."""

from random import Random

import msgspec

NUMBERS = (
    b"0", b"-0", b"1", b"-1", b"1.0", b"1e0", b"0.1", b"1.10", b"1e400", b"-1e400", b"1e-400", b"0e999999", b"1e99999999999999999999",
    b"9007199254740993", b"1201895966044343904", b"18446744073709551616", b"253402300800000", b"-62135596800001", b"9" * 60, b"9" * 4300,
    b"9" * 4301, b"0." + b"1" * 80, b"NaN", b"-Infinity", b"01", b"1.", b"+1", b"0x10",
)  # fmt: skip
TEXTS = (
    "", " ", "\0", "x\0y", "null", "true", "7", "1e5", "NaN", "sNaN", "-Infinity", "0.5", "0" * 70, "x" * 255, "x" * 256, "x" * 9999,
    "2024-11-22T16:31:40Z", "2024-11-22 16:31:40", "2024-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59",
    "9999-12-31 23:59:59", "2024-W47-5", "20241122T163140", "2024-11-22T16:31:40+24:00", "-٢٠٢٤-11-22", "é", "e\u0301", "\u202e\u200d",
    "\U0001f6d2", "\ufeff", "\ufffd", "{}", "$.x", "refunded", "replaced", "delivery", "order", "fulfillment.picking", "DELIVERED", "ſ",
)  # fmt: skip
BROKEN_TEXTS = (
    b'"\\ud800"',
    b'"\\udc00x"',
    b'"\\ud800\\u0041"',
    b'"\\u00"',
    b'"\\x"',
    b'"a\tb"',
    b'"open',
    b"'x'",
    b'"\\u0000"',
)
SHAPES = (
    b"{}",
    b"[]",
    b"[{}]",
    b"[null]",
    b"[[]]",
    b'{"":{}}',
    b'{"id":[]}',
    b'{"0":0}',
    b"null",
    b"true",
    b"false",
    b"",
    b",",
)
BAD_UTF8 = (b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf", b"\x80", b"\xf0\x9f", b"\0")
CANARY = "jane.doe@example.com"
"""Stands for personal data: it is put where a provider might put some, and no message may quote it."""
CANARIES = (
    CANARY,
    f"{CANARY} ",
    f"2024-{CANARY}",
    f"7{CANARY}",
    f"\0{CANARY}",
    f'"{CANARY}',
    f"`{CANARY}`",
    f"x - at `$.{CANARY}`",
)
_VALUES = (NUMBERS, tuple(map(msgspec.json.encode, TEXTS)), tuple(map(msgspec.json.encode, CANARIES)), BROKEN_TEXTS, SHAPES)
_SHARES = (6, 6, 3, 1, 4)
_PIECES = (
    *(bytes([each]) for each in b'{}[]:,"\\ \n0123456789.eE+-'), b"null", b"true", b"false", b'"event":', b'"event_name":', b'"order_id":',
    b'"entity_id":', b'"items":[{', b'"event_metadata":{', b'"data":{', b'"x"', *BAD_UTF8, *NUMBERS[:12],
)  # fmt: skip


def odd_value(rng: Random) -> bytes:
    """A value of another type or form than anybody expects; not always JSON."""
    return rng.choice(rng.choices(_VALUES, _SHARES)[0])


def random_bytes(rng: Random) -> bytes:
    """No document: any bytes, or the pieces that JSON is made of, in any order."""
    length = int(rng.expovariate(1 / 40))
    return rng.randbytes(length) if rng.random() < 0.4 else b"".join(rng.choices(_PIECES, k=length))
