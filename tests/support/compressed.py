"""Compresses bodies as senders do, one function for each content coding. Always the same bytes: gzip notes no time."""

import gzip
import sys
import zlib
from collections.abc import Callable
from functools import cache

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20


def raw_deflate(body: bytes) -> bytes:
    """Deflate without zlib's frame around it, as some senders understand the name."""
    return zlib.compress(body, wbits=-zlib.MAX_WBITS)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, mtime=0),
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


def compressed(body: bytes, *codings: str) -> bytes:
    """A body under these codings, the last one outermost."""
    for coding in codings:
        body = COMPRESS[coding](body)
    return body


@cache
def zeros(coding: str, mib: int) -> bytes:
    """So many MiB of nothing, compressed piece by piece, so that the test itself needs no memory for them."""
    return b"".join(_pieces(coding, mib))


def _pieces(coding: str, mib: int) -> list[bytes]:
    piece = bytes(MIB)
    if coding == "br":
        brotli_stream = brotli.Compressor(quality=5, lgwin=24)
        return [*(brotli_stream.process(piece) for _ in range(mib)), brotli_stream.finish()]
    stream = zstd.ZstdCompressor() if coding == "zstd" else zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    return [*(stream.compress(piece) for _ in range(mib)), stream.flush()]
