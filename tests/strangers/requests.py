"""Broken requests, generated from a seed: the same seed gives the same bytes. Pure.

Most are one of a kind that servers are known to have read wrongly; the rest are honest requests with bytes damaged.
"""

import random
from collections.abc import Callable

Random = random.Random
Mutation = Callable[[Random, bytes], bytes]

TARGETS = (
    b"/webhook",
    b"/webhook/instacart",
    b"/webhook/afosto",
    b"/oauth/token",
    b"/healthz",
    b"/readyz",
    b"/openapi.json",
    b"/nowhere",
)
ODD_TARGETS = (
    b"*", b"", b"x", b"//webhook", b"/webhook/", b"/webhook/../webhook", b"/%77ebhook", b"/webhook%00", b"/\xff\xfe", b"/%", b"/?" + b"a" * 3000,
    b"http://other/webhook", b"http://[::1/webhook", b"other:443", b"/webhook#fragment", b"/webhook?provider=afosto", b"/ /", b"/\x7f", b"/" + b"a/" * 2000,
)  # fmt: skip
METHODS = (
    b"POST",
    b"POST",
    b"POST",
    b"GET",
    b"HEAD",
    b"OPTIONS",
    b"PUT",
    b"DELETE",
    b"CONNECT",
    b"TRACE",
    b"PRI",
    b"post",
    b"P\0ST",
    b"",
    b"M-SEARCH",
)
VERSIONS = (
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"HTTP/11",
    b"http/1.1",
    b"",
    b"HTTP/1.1 ",
)
ODD_HEADERS = (
    b"X", b": x", b" X: y", b"X : y", b"X\0: y", b"X: \0", b"X: y\n Z: z", b"X: y\r", b"\xff: y", b"X: \xff\xfe", b"X:" + b" " * 2000, b"(): y", b"X: a\r\n\tfolded",
    b"Host: a\r\nHost: b", b"Expect: 100-continue", b"Expect: 200-ok", b"Connection: close", b"Connection: keep-alive, Content-Length", b"TE: trailers",
    b"Connection: Upgrade\r\nUpgrade: h2c", b"Connection: upgrade\r\nUpgrade: websocket", b"Upgrade: h2c", b"Connection: Upgrade", b"Trailer: Authorization",
    b"Content-Encoding: gzip", b"Content-Type: \x1b[31m", b"Cookie: " + b"a=b; " * 500, b"X: " + b"y" * 70_000, b"\r\n".join(b"X%d: y" % n for n in range(3000)),
    b"X-Forwarded-For: \x00, ,::, 999.1.1.1", b"X-Afosto-Hmac-Sha256: " + b"0" * 64, b"X-Afosto-Hmac-Sha256: \xff", b"Authorization: Bearer", b"Authorization: Basic ????",
    b"Authorization: Bearer " + b"a." * 3000, b"Range: bytes=0-", b"If-None-Match: *", b"Transfer-Encoding: gzip, chunked",
)  # fmt: skip
LENGTHS = (
    b"Content-Length: 5\r\nContent-Length: 7", b"Content-Length: 5, 5", b"Content-Length: +5", b"Content-Length: -5", b"Content-Length: 0x5", b"Content-Length: 5 5",
    b"Content-Length: 99999999999999999999999", b"Content-Length: 18446744073709551615", b"Content-Length:", b"Content-Length: \xd9\xa5", b"Content-Length: 1e3",
    b"Content-Length : 5", b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: Chunked",
)  # fmt: skip
CHUNKS = (
    b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"-1\r\nx\r\n0\r\n\r\n", b"ffffffffffffffff\r\nx", b"fffffffffffffffff\r\nx", b"5\nhello\n0\n\n", b"5;a=b\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"a" * 9000 + b"\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"4\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n", b"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n", b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"\r\n5\r\nhello\r\n0\r\n\r\n",
    b"1\r\na\r\n" * 300 + b"0\r\n\r\n", b"5\r\n\r\n\r\n\r\n\r\n0\r\n\r\n",
)  # fmt: skip
NO_HTTP = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x07" * 500, b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 64, b"\r\n" * 40,
    b"EHLO x\r\nMAIL FROM:<a@b>\r\n", b"*1\r\n$4\r\nPING\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"GET\r\n\r\n", b"<xml/>\r\n\r\n", b"{}\r\n\r\n", b"GET /\r\n\r\n",
)  # fmt: skip


def broken_request(chance: Random, authorization: bytes) -> bytes:
    """One request, or something in its place. `authorization` is a whole header that some of them carry, or nothing."""
    kind = chance.random()
    if kind < 0.05:
        return chance.choice(NO_HTTP)
    if kind < 0.10:
        return chance.randbytes(chance.randrange(1, 300))
    request = _request(chance, authorization)
    for _ in range(chance.choice((0, 0, 0, 0, 1, 1, 2, 4))):
        request = chance.choice(_DAMAGES)(chance, request)
    return request


def _request(chance: Random, authorization: bytes) -> bytes:
    method = b"POST" if chance.random() < 0.8 else chance.choice(METHODS)
    version = b"HTTP/1.1" if chance.random() < 0.9 else chance.choice(VERSIONS)
    target = chance.choice(TARGETS) if chance.random() < 0.8 else chance.choice(ODD_TARGETS)
    headers = [
        b"Host: x",
        chance.choice((b"Content-Type: application/json", b"Content-Type: application/x-www-form-urlencoded")),
    ]
    headers += [authorization] if authorization and chance.random() < 0.5 else []
    headers += [chance.choice(ODD_HEADERS) for _ in range(chance.choice((0, 0, 0, 1, 1, 2)))]
    body = chance.choice(
        (b"", b"{}", b"grant_type=client_credentials&client_id=a&client_secret=%", chance.randbytes(20), b"x" * 3000)
    )
    framing = chance.random()
    if framing < 0.6:
        headers.append(b"Content-Length: %d" % (len(body) + chance.choice((0, 0, 0, 0, 1, -1))))
    elif framing < 0.85:
        headers.append(b"Transfer-Encoding: chunked")
        body = chance.choice(CHUNKS)
    elif framing < 0.97:
        headers.append(chance.choice(LENGTHS))
        body = chance.choice((body, chance.choice(CHUNKS)))
    chance.shuffle(headers)
    return b"%b %b %b\r\n%b\r\n\r\n%b" % (method, target, version, b"\r\n".join(headers), body)


def _flip(chance: Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes((chance.randrange(256),)) + data[at + 1 :]


def _cut(chance: Random, data: bytes) -> bytes:
    return data[: chance.randrange(1, len(data) + 1)]


def _drop(chance: Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.randrange(1, 10) :] or b"x"


def _repeat(chance: Random, data: bytes) -> bytes:
    at, size = chance.randrange(len(data)), chance.randrange(1, 60)
    return data[:at] + data[at : at + size] * 2 + data[at + size :]


def _bare_newlines(chance: Random, data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n", chance.randrange(1, 6))


def _twice(chance: Random, data: bytes) -> bytes:
    return data + _request(chance, b"")


_DAMAGES: tuple[Mutation, ...] = (_flip, _flip, _cut, _drop, _repeat, _bare_newlines, _twice)
