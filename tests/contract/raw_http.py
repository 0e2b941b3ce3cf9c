"""A client that sends bytes and reads answers one by one, and ingress processes to send them to."""

import contextlib
import re
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.ingress_client import IngressProcess, bearer, stored
from tests.support.valkey_servers import RealValkey

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class RawClient:
    """One connection, closed on exit of the context."""

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def send(self, data: bytes) -> Self:
        """Send all of it, or as much as the peer accepts before it closes."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)
        return self

    def send_some(self, data: bytes) -> int:
        """Send what is accepted without blocking. Return 0 if nothing is for 0.1 s, or the peer has closed."""
        _, writable, _ = select.select([], [self._socket], [], 0.1)
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT) if writable else 0
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return 0

    def answer(self) -> bytes:
        """The next answer, head and body; the rest of the bytes if the peer closes before it is complete."""
        while True:
            head, end, rest = self._read.partition(b"\r\n\r\n")
            length = _LENGTH.search(head + b"\r\n")
            size = int(length[1]) if length else 0
            if end and len(rest) >= size:
                self._read = rest[size:]
                return head + end + rest[:size]
            if not self._more():
                left, self._read = self._read, b""
                return left

    def status(self) -> int:
        """The status of the next answer; 0 for none."""
        answer = self.answer()
        return int(answer[9:12]) if answer else 0

    def statuses(self) -> list[int]:
        """The status of each answer until the peer closes."""
        found = []
        while status := self.status():
            found.append(status)
        return found

    def is_closed_within(self, seconds: float) -> bool:
        """Whether the peer closes or resets within this time. Answers are discarded."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self._socket], [], [], left)
            if readable and not self._more():
                return True
        return False

    def is_answered_within(self, seconds: float) -> bool:
        """Whether an answer has begun, or begins within this time."""
        if not self._read and select.select([self._socket], [], [], seconds)[0]:
            self._more()
        return self._read.startswith(b"HTTP/1.1 ")

    def end(self) -> Self:
        """Close the sending side only."""
        self._socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self) -> None:
        """Close with a reset, as a crashing client does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """Close."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _more(self) -> bool:
        try:
            data = self._socket.recv(1 << 20)
        except ConnectionResetError:
            return False
        self._read += data
        return bool(data)


Start = Callable[..., IngressProcess]

CLOSED_SECONDS = 15.0
"""The documented limit; no allowance for a slow machine."""
GROWTH_MB = 20
AUTHORIZATION = b"Authorization: " + bearer()["Authorization"].encode() + b"\r\n"
EVENT = b'{"event":"fulfillment.picking","order_id":"1"}'
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n",
    "tls": b"Connection: upgrade\r\nUpgrade: TLS/1.3, HTTP/1.1\r\n",
}


@pytest.fixture(scope="module")
def shared_ingress(valkey_process: RealValkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngressProcess]:
    """One ingress for the module. It must shut down in order and log no traceback.

    It does not append again what is deleted between two tests.
    """
    ingress = IngressProcess(tmp_path_factory.mktemp("wire") / "log", REDIS_URL=valkey_process.url, REAPPEND_WINDOW="0")
    try:
        yield ingress
        end_well(ingress)
    finally:
        ingress.kill()


@pytest.fixture
def ingress(shared_ingress: IngressProcess, real_valkey: RealValkey) -> IngressProcess:
    """The shared ingress and an empty Valkey."""
    return shared_ingress


def end_well(ingress: IngressProcess) -> None:
    """Stop it and check that it has logged no unexpected error."""
    ingress.stop()
    assert "Traceback" not in ingress.log
    assert "a bug in the ingress" not in ingress.log


@pytest.fixture
def start(real_valkey: RealValkey, tmp_path: Path) -> Iterator[Start]:
    """A function that starts an ingress with other settings. All end with the test, as the shared one."""
    started: list[IngressProcess] = []

    def begin(**environment: str) -> IngressProcess:
        started.append(IngressProcess(tmp_path / f"log{len(started)}", REDIS_URL=real_valkey.url, **environment))
        return started[-1]

    try:
        yield begin
        for each in started:
            end_well(each)
    finally:
        for each in started:
            each.kill()


def post(body: bytes, *headers: bytes, path: bytes = b"/webhook") -> bytes:
    """A POST request with a bearer token."""
    head = b"POST %b HTTP/1.1\r\nHost: x\r\n%b%bContent-Length: %d\r\n\r\n" % (
        path,
        AUTHORIZATION,
        b"".join(headers),
        len(body),
    )
    return head + body


def bodies(valkey: RealValkey) -> list[bytes]:
    """The bodies in the inbox."""
    return [body for _, _, body in stored(valkey.url)]


def is_served(ingress: IngressProcess) -> bool:
    """Whether a new client is answered."""
    return httpx.get(f"{ingress.url}/healthz", timeout=5).status_code == 200
