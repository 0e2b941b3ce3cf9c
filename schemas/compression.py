"""Decompression of bodies: gzip, deflate, br and zstd, each alone or one within another. Pure. Raises only `DecodeError`.

A body that begins with `{` is not compressed: no coding begins so (`is_plain`), and nearly every body does. For any other, the
header is tried first, then what its first bytes say. A proxy may have decompressed a body and left the header, or the provider
may have forgotten it. Only br has no mark of its own: without the header it cannot be told.

Memory is bounded. A body grows to one byte over the limit, and no further. Beside it br needs a window of up to 16 MiB, and zstd
one of up to 8 MiB (RFC 9659), or as large as the limit.
"""

import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable
from typing import NamedTuple, Protocol

import brotli

from schemas.content_codings import BR, DEFLATE, GZIP, MAX_CODINGS, ZSTD, codings_of
from schemas.failures import DecodeError, Reason

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PLAIN = b"{"
"""How a body begins that is certainly not compressed."""
MAX_PARTS = 100
"""Gzip members or zstd frames, one after the other. Each costs time, even if it is empty."""
MIN_ZSTD_WINDOW_LOG = 23
MAX_ZSTD_WINDOW_LOG = 31

_ZSTD_FRAME = b"\x28\xb5\x2f\xfd"
_ZSTD_FRAMES = (_ZSTD_FRAME, *(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60)))
"""How a frame begins; all but the first hold no data (RFC 8878, 3.1.2)."""
_MAGIC = (
    (b"\x1f\x8b", GZIP),
    (_ZSTD_FRAME, ZSTD),
    *((bytes((0x78, level)), DEFLATE) for level in (0x01, 0x5E, 0x9C, 0xDA)),
)
_NEXT_PART: dict[str, tuple[bytes, ...]] = {GZIP: (b"\x1f\x8b",), ZSTD: _ZSTD_FRAMES}
_LIKE_JSON = (b"[", b" ", b"\t", b"\r", b"\n", BOM_UTF8)
_DAMAGED = (zlib.error, brotli.error, zstd.ZstdError)


class Decompressed(NamedTuple):
    """A body without its codings, and those that it had, in the order in which they were applied."""

    body: bytes
    codings: tuple[str, ...]


class DamagedError(DecodeError):
    """The data are not of this coding, or end too early."""


def is_plain(body: bytes) -> bool:
    """Whether a body is certainly not compressed."""
    return body[:1] == PLAIN


def decompress(body: bytes, content_encoding: str, limit_bytes: int) -> Decompressed:
    """Remove the codings of a body. `content_encoding` is the header; empty if there was none.

    Raises `DecodeError` if the data are damaged, or larger than `limit_bytes` after any step.
    """
    named, removed = list(codings_of(content_encoding) or ()), list[str]()
    while not is_plain(body):
        coding = named.pop() if named else _recognised(body)
        if coding is None:
            break
        if len(removed) == MAX_CODINGS:
            raise _error(f"expected at most {MAX_CODINGS} codings, got more")
        try:
            body, coding = _removed(body, coding, limit_bytes)
        except DamagedError:
            if body.startswith(_LIKE_JSON):
                break
            raise
        removed.insert(0, coding)
    return Decompressed(body, tuple(removed))


def _removed(body: bytes, coding: str, limit_bytes: int) -> tuple[bytes, str]:
    """The body without this coding; if it has another one, without that. Returns the coding as well."""
    try:
        return _read(body, coding, limit_bytes), coding
    except DamagedError:
        other = _recognised(body)
        if other is None or other == coding:
            raise
        return _read(body, other, limit_bytes), other


def _recognised(body: bytes) -> str | None:
    """The coding that the first bytes show."""
    return next((coding for magic, coding in _MAGIC if body.startswith(magic)), None)


def _read(body: bytes, coding: str, limit_bytes: int) -> bytes:
    """Read all parts of a body. What follows the last one is ignored, as gzip does."""
    pieces, room = list[bytes](), limit_bytes + 1
    for _ in range(MAX_PARTS):
        try:
            stream = _STREAMS[coding](body, limit_bytes)
            pieces.append(stream.decompress(body, room))
        except _DAMAGED as error:
            raise _damage(error, coding, limit_bytes) from error
        room -= len(pieces[-1])
        if room <= 0:
            raise _error(f"expected at most {_size(limit_bytes)} after decompression ({coding}), got more")
        if not stream.eof:
            raise DamagedError(Reason.COMPRESSION, f"$: expected a {coding} body, got one that ends too early")
        body = stream.unused_data
        if not body.startswith(_NEXT_PART.get(coding, ())):
            return b"".join(pieces)
    raise _error(f"expected at most {MAX_PARTS} parts ({coding}), got more")


def _damage(error: Exception, coding: str, limit_bytes: int) -> DecodeError:
    if isinstance(error, zstd.ZstdError) and "memory" in str(error):  # the frame's window; of a frame in one piece its size
        window = _size(1 << _zstd_window_log(limit_bytes))
        return _error(
            f"expected at most {_size(limit_bytes)} after decompression, and a window of {window} ({coding}), got more"
        )
    return DamagedError(Reason.COMPRESSION, f"$: expected a {coding} body, got damaged data")


def _error(text: str) -> DecodeError:
    return DecodeError(Reason.COMPRESSION, f"$: {text}")


def _size(size_bytes: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size_bytes >= unit and size_bytes % unit == 0:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes} bytes"


class _Stream(Protocol):
    """One part of a body. `decompress` returns no more than `max_length` bytes, or little more."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


class _Brotli:
    unused_data = b""
    """The library counts what follows the end as damage. That is right: br has no checksum and no mark."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self._stream.is_finished())

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        found = bytes(self._stream.process(data, output_buffer_limit=max_length))
        while len(found) < max_length and not (self.eof or self._stream.can_accept_more_data()):
            found += self._stream.process(b"", output_buffer_limit=max_length - len(found))
        return found


def _inflate(body: bytes, _limit_bytes: int) -> _Stream:
    """Deflate as the standard has it (zlib), or raw, as some senders have it."""
    has_header = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
    return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _zstd_window_log(limit_bytes: int) -> int:
    return min(max(limit_bytes.bit_length(), MIN_ZSTD_WINDOW_LOG), MAX_ZSTD_WINDOW_LOG)


def _zstd(_body: bytes, limit_bytes: int) -> _Stream:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _zstd_window_log(limit_bytes)})


_STREAMS: dict[str, Callable[[bytes, int], _Stream]] = {
    GZIP: lambda _body, _limit_bytes: zlib.decompressobj(zlib.MAX_WBITS | 16),
    DEFLATE: _inflate,
    BR: lambda _body, _limit_bytes: _Brotli(),
    ZSTD: _zstd,
}
