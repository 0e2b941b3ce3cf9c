"""Request smuggling: clients without a token that try to pass one request off as two, repeatedly and within bounds."""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.strangers import http2

ADDRESS = "127.0.0.66"
"""Where the stranger sits, in the loopback range."""
ROUNDS = 400
"""At the most, of all attacks."""
_PAUSE_SECONDS = 0.02
_SEND_SECONDS = 10.0
_RESET = struct.pack("ii", 1, 0)

HOST = b"Host: localhost\r\n"
WEBHOOK, TOKEN = b"POST /webhook HTTP/1.1\r\n" + HOST, b"POST /oauth/token HTTP/1.1\r\n" + HOST
AFOSTO = b"POST /webhook/afosto HTTP/1.1\r\n" + HOST + b"X-Afosto-Hmac-Sha256: " + b"0" * 64 + b"\r\n"
"""Its signature is looked at only when the body is whole."""
STRAY = WEBHOOK + b"Content-Length: 9\r\n\r\nsmuggled!"
"""A request within a body: whoever takes it for one answers twice."""
OPEN = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Rest: "
"""Another, that swallows the first line of whatever comes next on the same connection, and gets it a 200."""
PADDED = b"\r\n" * 200_000 + OPEN
"""The same after empty lines, which servers skip: too long for a proxy to send all of it together with the head before."""
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
CHUNKED = b"Transfer-Encoding: chunked\r\n"

Attack = Sequence[bytes]
"""What is sent, in parts: after each the stranger waits for a moment, and for an answer."""


def _attacks() -> Iterator[tuple[str, Attack]]:
    for target, start in (("webhook", WEBHOOK), ("token", TOKEN), ("afosto", AFOSTO)):
        for kind, within in (("whole", STRAY), ("open", OPEN)):
            for trick, attack in (*_upgrades(start, within), *_tricks(start, within)):
                yield f"{trick}, {target}, {kind}", attack
    yield from _floods()


def _framed(within: bytes) -> tuple[bytes, bytes]:
    """The header that announces these bytes as a body, and the same bytes as the only chunk."""
    return b"Content-Length: %d\r\n" % len(within), b"%x\r\n%s\r\n0\r\n\r\n" % (len(within), within)


def _upgrades(start: bytes, within: bytes) -> Iterator[tuple[str, Attack]]:
    """Another protocol is asked for, and the body stays where it was."""
    length, chunk = _framed(within)
    yield "h2c", (start + H2C + length + b"\r\n", within)
    yield "h2c chunked", (start + H2C + CHUNKED + b"\r\n", chunk)
    yield "h2c by GET", (start.replace(b"POST", b"GET") + H2C + length + b"\r\n", within)
    yield "websocket", (start + WEBSOCKET + length + b"\r\n", within)


def _tricks(start: bytes, within: bytes) -> Iterator[tuple[str, Attack]]:
    """One request with another within, which a careless server or proxy takes for the next."""
    length, chunk = _framed(within)
    empty = b"\r\n0\r\n\r\n" + within
    yield "CONNECT", (b"CONNECT localhost:443 HTTP/1.1\r\n" + HOST + b"\r\n", within)
    yield "CONNECT with a path", (start.replace(b"POST", b"CONNECT") + length + b"\r\n", within)
    yield "CL.TE", (start + b"Content-Length: %d\r\n" % (len(within) + 5) + CHUNKED + empty,)
    yield "TE.CL", (start + b"Content-Length: 4\r\n" + CHUNKED + b"\r\n" + chunk,)
    yield "TE.CL by HTTP/1.0", (start.replace(b"1.1", b"1.0") + length + CHUNKED + empty,)
    for coding in (b"xchunked", b"\tchunked", b"\x0bchunked", b"chunked, chunked", b"chunked, identity", b'"chunked"'):
        yield f"coding {coding!r}", (start + length + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + within,)
    yield "space before the colon", (start + length + b"Transfer-Encoding : chunked\r\n" + empty,)
    yield "obs-fold", (start + length + b"Transfer-Encoding:\r\n chunked\r\n" + empty,)
    yield "folded length", (start + b"X-A: 1\r\n Content-Length: 0\r\n" + length + b"\r\n" + within,)
    yield "two lengths", (start + b"Content-Length: 0\r\n" + length + b"\r\n" + within,)
    yield "two lengths in one", (start + length.replace(b": ", b": 0, ") + b"\r\n" + within,)
    yield "signed length", (start + length.replace(b": ", b": +") + b"\r\n" + within,)
    yield "length of GET", (start.replace(b"POST", b"GET") + length + b"\r\n" + within,)
    yield "bare LF", ((start + length + b"X-A: 1\r\n\r\n").replace(b"\r\n", b"\n") + within,)
    yield "bare CR", (start + b"X-A: 1\rContent-Length: 0\r\n" + length + b"\r\n" + within,)
    yield "NUL", (start + b"X-A: 1\0\r\n" + length + b"\r\n" + within,)
    yield "bare LF in chunks", (start + CHUNKED + b"\r\n" + chunk.replace(b"\r\n", b"\n"),)
    yield "chunk extension", (start + CHUNKED + b"\r\n0;\n" + within + b"\r\n\r\n",)
    yield "huge chunk", (start + CHUNKED + b"\r\nffffffffffffffff0\r\n" + within,)
    yield "Expect", (start + b"Expect: 100-continue\r\n" + length + b"\r\n", within)
    yield "refused before its body", (b"POST /metrics HTTP/1.1\r\n" + HOST + length + b"\r\n", within)
    yield "line feed in the path", (start.replace(b" HTTP", b"%0d%0aX:%20 HTTP") + length + b"\r\n" + within,)
    yield "listed headers", (start + b"Connection: close, Content-Length, Host\r\n" + length + b"\r\n" + within,)
    yield "preface of HTTP/2", (http2.PREFACE + within,)


def _floods() -> Iterator[tuple[str, Attack]]:
    """Too much, too little, or something else."""
    trailers = b"Authorization: Bearer x\r\nX-Forwarded-For: 6.6.6.6\r\nContent-Length: 9\r\n"
    yield "trailers", (WEBHOOK + CHUNKED + b"Trailer: Authorization\r\n\r\n3\r\nabc\r\n0\r\n" + trailers + b"\r\n",)
    yield "many trailers", (WEBHOOK + CHUNKED + b"\r\n0\r\n" + b"X-A: 1\r\n" * 20_000,)
    yield "a huge header", (WEBHOOK + b"X-A: " + b"a" * 1_000_000 + b"\r\n\r\n",)
    yield "many headers", (WEBHOOK + b"".join(b"X-%d: 1\r\n" % number for number in range(20_000)) + b"\r\n",)
    yield "a huge address", (b"GET /webhook/" + b"a" * 1_000_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",)
    yield "pipelining", ((b"GET /webhook HTTP/1.1\r\n" + HOST + b"\r\n" + STRAY) * 50,)
    yield "half a head", (WEBHOOK + b"Content-Le",)
    yield "half a body", (AFOSTO + b"Content-Length: 100\r\n\r\nhalf",)
    yield "half a chunk", (AFOSTO + CHUNKED + b"\r\nff\r\nhalf",)
    yield "not HTTP", (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 200,)


ATTACKS: dict[str, Attack] = dict(_attacks())
UPGRADES: dict[str, Attack] = {
    f"{trick}, {target}, padded": attack
    for target, start in (("webhook", WEBHOOK), ("afosto", AFOSTO))
    for trick, attack in _upgrades(start, PADDED)
}
"""What has cost most events, where a proxy handed on `Upgrade`."""


def _in_http2() -> Iterator[tuple[str, Attack]]:
    for kind, within in (("whole", STRAY), ("open", OPEN)):
        for name, header in {
            "length too short": (b"content-length", b"0"),
            "length too long": (b"content-length", b"9999"),
            "chunked": (b"transfer-encoding", b"chunked"),
            "upgrade": (b"upgrade", b"h2c"),
            "connection": (b"connection", b"upgrade"),
            "a header within a value": (b"x-a", b"1\r\nTransfer-Encoding: chunked"),
            "a request within a value": (b"x-a", b"1\r\n\r\n" + within),
            "a header within a name": (b"x-a: 1\r\ntransfer-encoding", b"chunked"),
        }.items():
            yield f"HTTP/2, {name}, {kind}", (http2.request([header], b"0\r\n\r\n" + within),)
        yield f"HTTP/2, path, {kind}", (http2.request([], within, path=b"/webhook HTTP/1.1\r\nHost: x\r\n\r\n" + within),)
        yield f"HTTP/2, method, {kind}", (http2.request([], within, method=b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nPOST"),)


ATTACKS_IN_HTTP2: dict[str, Attack] = dict(_in_http2())


class Attacker:
    """One thread that makes all these attacks, again and again; `made` counts them by name."""

    def __init__(self, connect: Callable[[], socket.socket], attacks: dict[str, Attack], enough: threading.Event) -> None:
        self.made: Counter[str] = Counter()
        self._connect, self._attacks, self._enough = connect, attacks, enough
        self.thread = threading.Thread(target=self._run, name="stranger")

    @property
    def has_made_all(self) -> bool:
        """Each of them once at least."""
        return self.made.keys() == self._attacks.keys()

    def _run(self) -> None:
        for number in range(ROUNDS):
            for name, attack in self._attacks.items():
                if self._enough.is_set() and number > 0:
                    return
                self._make(attack, reset=number % 2 == 1)
                self.made[name] += 1

    def _make(self, attack: Attack, *, reset: bool) -> None:
        """Every other time it ends with a reset of the connection."""
        try:
            with self._connect() as connection:
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                for part in attack:
                    connection.settimeout(_SEND_SECONDS)
                    connection.sendall(part)
                    connection.settimeout(_PAUSE_SECONDS)
                    _read(connection)
        except OSError:  # refused, closed or reset: an answer, too
            pass


def _read(connection: socket.socket) -> None:
    """Whatever is answered before a moment's silence."""
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        pass


@contextmanager
def attackers(*those: tuple[Callable[[], socket.socket], dict[str, Attack]]) -> Iterator[list[Attacker]]:
    """All at once; on leaving each has made each of its attacks, and has ended."""
    enough = threading.Event()
    all_of_them = [Attacker(connect, attacks, enough) for connect, attacks in those]
    for each in all_of_them:
        each.thread.start()
    try:
        yield all_of_them
    finally:
        enough.set()
        for each in all_of_them:
            each.thread.join()
