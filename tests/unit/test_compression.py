"""Decompression of bodies: which are read, under which header, and what of bodies that are damaged or made to grow."""

import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.compression import MAX_PARTS, decompress, is_plain
from schemas.content_codings import KNOWN, codings_of
from schemas.failures import DecodeError, Reason
from tests.payloads import recorded
from tests.support.compressed import COMPRESS, MIB, compressed, raw_deflate, zeros

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODY = recorded("instacart/flat/order_item_refund")
LIMIT = MIB
GIBIBYTE = 1024


def refusal(body: bytes, header: str, limit_bytes: int = LIMIT) -> str:
    """What is said of a body that cannot be decompressed."""
    with pytest.raises(DecodeError) as refused:
        decompress(body, header, limit_bytes)
    assert refused.value.reason is Reason.COMPRESSION
    return str(refused.value)


@pytest.mark.parametrize("coding", KNOWN)
def test_a_body_of_each_coding_is_read(coding: str) -> None:
    assert decompress(compressed(BODY, coding), coding, LIMIT) == (BODY, (coding,))


@pytest.mark.parametrize("first", KNOWN)
@pytest.mark.parametrize("second", KNOWN)
def test_a_body_under_two_codings_is_read(first: str, second: str) -> None:
    assert decompress(compressed(BODY, first, second), f"{first}, {second}", LIMIT) == (BODY, (first, second))


@pytest.mark.parametrize(
    ("body", "header", "codings"),
    [
        (compressed(BODY, "gzip"), "", ("gzip",)),
        (compressed(BODY, "deflate"), "", ("deflate",)),
        (compressed(BODY, "zstd"), "identity", ("zstd",)),
        (compressed(BODY, "gzip", "gzip"), "gzip", ("gzip", "gzip")),
        (compressed(BODY, "zstd", "gzip"), "", ("zstd", "gzip")),
        (compressed(BODY, "gzip"), "gzip, br", ("gzip",)),
        (compressed(BODY, "gzip"), "br", ("gzip",)),
        (compressed(BODY, "zstd"), "gzip", ("zstd",)),
        (compressed(BODY, "deflate"), "gzip", ("deflate",)),
        (compressed(BODY, "gzip"), "deflate", ("gzip",)),
        (compressed(BODY, "gzip"), "a coding of tomorrow", ("gzip",)),
        (BODY, "gzip", ()),
        (BODY, "br, zstd", ()),
        (b"\n " + BODY, "gzip", ()),
        (b"\n " + BODY, "br", ()),
        (b"\xef\xbb\xbf" + BODY, "deflate", ()),
        (b"[1]", "zstd", ()),
        (b"", "", ()),
    ],
)
def test_a_header_that_is_missing_or_wrong_loses_no_body(body: bytes, header: str, codings: tuple[str, ...]) -> None:
    plain, found = decompress(body, header, LIMIT)
    assert (plain, found) == (BODY if codings else body, codings)


@pytest.mark.parametrize(
    "body",
    [raw_deflate(BODY), *(zlib.compress(BODY, level, wbits) for level in (0, 1, 9) for wbits in (9, 15, -9, -15))],
)
def test_deflate_is_read_with_zlib_s_frame_and_without(body: bytes) -> None:
    assert decompress(body, "deflate", LIMIT).body == BODY


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_body_in_several_parts_is_read(coding: str) -> None:
    parts = [COMPRESS[coding](BODY[start : start + 50]) for start in range(0, len(BODY), 50)]
    assert 3 < len(parts) < MAX_PARTS
    assert decompress(b"".join(parts), coding, LIMIT).body == BODY


def test_an_empty_part_of_zstd_is_passed_over() -> None:
    skippable = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"
    assert decompress(skippable + zstd.compress(BODY) + skippable, "zstd", LIMIT).body == BODY


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("rest", [b"\0" * 512, b"\r\n", b"\x1f", b"trailing"])
def test_what_follows_the_end_is_ignored(coding: str, rest: bytes) -> None:
    assert decompress(compressed(BODY, coding) + rest, coding, LIMIT).body == BODY


@pytest.mark.parametrize("coding", KNOWN)
def test_a_truncated_body_is_named_as_such_wherever_it_ends(coding: str) -> None:
    whole = compressed(BODY, coding)
    said = {refusal(whole[:length], coding) for length in range(1, len(whole))}
    assert said == {f"$: expected a {coding} body, got one that ends too early"}


@pytest.mark.parametrize("coding", KNOWN)
def test_a_damaged_body_is_named_as_such(coding: str) -> None:
    body = compressed(BODY, coding)
    assert refusal(body[:2] + b"\xff" * 40 + body[42:], coding) == f"$: expected a {coding} body, got damaged data"


@pytest.mark.parametrize("body", [b"event=picking", b"<event/>", b"\x80\x02 pickled"])
def test_other_bytes_are_damaged_data_under_a_header_and_left_alone_without_one(body: bytes) -> None:
    assert "gzip body, got" in refusal(body, "gzip")
    assert decompress(body, "", LIMIT) == (body, ())


@pytest.mark.parametrize("size", [3_000, 70_000, 900_000])
@pytest.mark.parametrize("window", range(16, 25))
def test_br_is_read_although_its_first_byte_may_be_one_of_json(size: int, window: int) -> None:
    body = b'{"x":"' + bytes(97 + number * number % 23 for number in range(size)) + b'"}'
    for quality in (0, 1, 5):
        stream = brotli.Compressor(quality=quality, lgwin=window)
        coded = stream.process(body[:1000]) + stream.flush() + stream.process(body[1000:]) + stream.finish()
        assert not is_plain(coded)
        assert decompress(coded, "br", LIMIT) == (body, ("br",))


def test_br_with_the_first_byte_of_an_array_is_read() -> None:
    body = b"[" + b"1," * 40_000 + b"1]"
    coded = brotli.compress(body)
    assert coded[:1] == b"["
    assert decompress(coded, "br", LIMIT).body == body


@given(body=st.binary(max_size=300).map(lambda rest: b"{" + rest), header=st.sampled_from(KNOWN))
def test_no_coding_begins_like_an_object(body: bytes, header: str) -> None:
    assert decompress(body, header, LIMIT) == (body, ())
    assert not any(is_plain(compress(body)) for compress in (*COMPRESS.values(), raw_deflate))


@pytest.mark.parametrize("coding", KNOWN)
def test_a_body_may_become_as_large_as_the_limit_and_no_larger(coding: str) -> None:
    limit = len(BODY)
    assert decompress(compressed(BODY, coding), coding, limit).body == BODY
    said = f"$: expected at most {limit - 1} bytes after decompression ({coding}), got more"
    assert refusal(compressed(BODY, coding), coding, limit - 1) == said


@pytest.mark.parametrize(("limit", "text"), [(MIB, "1 MiB"), (3 * MIB, "3 MiB"), (64 << 10, "64 KiB"), (1000, "1000 bytes")])
def test_the_limit_is_named_as_people_write_it(limit: int, text: str) -> None:
    assert refusal(zeros("gzip", 8), "gzip", limit) == f"$: expected at most {text} after decompression (gzip), got more"


@pytest.mark.parametrize("coding", KNOWN)
def test_a_bomb_of_a_gibibyte_is_refused_at_the_limit(coding: str) -> None:
    bomb = zeros(coding, GIBIBYTE)
    assert len(bomb) < 1.1 * MIB, "it fits into a request"
    tracemalloc.start()
    try:
        said = refusal(bomb, coding)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert said == f"$: expected at most 1 MiB after decompression ({coding}), got more"
    assert peak < 5 * MIB


@pytest.mark.parametrize(("inner", "outer"), [("gzip", "gzip"), ("deflate", "br"), ("br", "zstd"), ("zstd", "gzip")])
def test_a_bomb_within_a_bomb_is_refused_at_the_limit(inner: str, outer: str) -> None:
    bomb = compressed(zeros(inner, GIBIBYTE), outer)
    said = f"$: expected at most 1 MiB after decompression ({inner}), got more"
    assert refusal(bomb, f"{inner}, {outer}") == said


def test_more_than_two_codings_are_refused() -> None:
    assert refusal(compressed(BODY, "gzip", "gzip", "gzip"), "gzip") == "$: expected at most 2 codings, got more"


@pytest.mark.parametrize("empty", [compressed(b"", "gzip"), compressed(b"", "zstd"), b"\x50\x2a\x4d\x18\0\0\0\0"])
def test_a_mebibyte_of_empty_parts_is_refused_without_reading_them_all(empty: bytes) -> None:
    coding = "gzip" if empty[:1] == b"\x1f" else "zstd"
    assert refusal(empty * (MIB // len(empty)), coding) == f"$: expected at most {MAX_PARTS} parts ({coding}), got more"


def test_a_window_that_no_receiver_must_have_is_refused() -> None:
    stream = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    coded = stream.compress(BODY) + stream.flush()
    said = "$: expected at most 1 MiB after decompression, and a window of 8 MiB (zstd), got more"
    assert refusal(coded, "zstd") == said
    stream = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 23})
    assert decompress(stream.compress(BODY) + stream.flush(), "zstd", LIMIT).body == BODY


def test_a_frame_as_large_as_a_larger_limit_is_read() -> None:
    body = bytes(12 * MIB)
    coded = zstd.compress(body, options={zstd.CompressionParameter.window_log: 24})
    assert len(decompress(coded, "zstd", 16 * MIB).body) == len(body)


_RESIDENT = """
import resource, sys
from pathlib import Path
from schemas.compression import decompress
from schemas.failures import DecodeError
body, coding = Path(sys.argv[1]).read_bytes(), sys.argv[2]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(20):
    try:
        decompress(body, coding, 1 << 20)
    except DecodeError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("coding", KNOWN)
def test_a_process_grows_by_a_window_and_the_limit_for_a_bomb(coding: str, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(zeros(coding, GIBIBYTE))
    done = subprocess.run([sys.executable, "-c", _RESIDENT, str(bomb), coding], capture_output=True, check=True, text=True)
    grown_kib = int(done.stdout)
    assert grown_kib < 40 * 1024, "a window of 16 MiB at most, and a few times the limit"


@pytest.mark.parametrize(
    ("header", "codings"),
    [
        ("gzip", ("gzip",)),
        ("GZip", ("gzip",)),
        ("x-gzip", ("gzip",)),
        (" deflate ", ("deflate",)),
        ("gzip, br", ("gzip", "br")),
        ("gzip,identity,,zstd", ("gzip", "zstd")),
        ("identity", ()),
        ("", ()),
        ("UTF-8", ()),
        ("compress", None),
        ("gzip, compress", None),
        ("gzip, gzip, gzip", None),
        ("gzip;q=1", None),
        (", " * 200 + "gzip", None),
    ],
)
def test_a_header_names_codings_in_any_case(header: str, codings: tuple[str, ...] | None) -> None:
    assert codings_of(header) == codings
