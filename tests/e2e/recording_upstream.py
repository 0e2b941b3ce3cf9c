"""An upstream server that records the bytes of every request and answers each with 200."""

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from tests.support.settings import LOOPBACK

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass(frozen=True)
class Request:
    """One request."""

    head: bytes
    body: bytes

    @property
    def line(self) -> str:
        """Its first line."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def is_check(self) -> bool:
        """Whether a proxy asks how we are."""
        return self.line.startswith("GET /readyz ")

    def values(self, name: str) -> list[str]:
        """Of all headers of this name, whatever its case."""
        found: list[str] = re.findall(rf"(?im)^{re.escape(name)}:[ \t]*(.*?)\r?$", self.head.decode("latin-1"))
        return found


@dataclass
class RecordingUpstream:
    """What came; a proxy's own health checks are left out."""

    address: str
    answer: bytes = OK
    """What it says to each; after nothing it hangs up."""
    heads: list[str] = field(default_factory=list)
    """First lines, as soon as a head has come."""
    all: list[Request] = field(default_factory=list)

    @property
    def requests(self) -> list[Request]:
        """In order of arrival."""
        return [request for request in self.all if not request.is_check]


@contextmanager
def recording_upstream() -> Iterator[RecordingUpstream]:
    """Serve in threads."""

    class Handler(socketserver.BaseRequestHandler):
        request: socket.socket

        def handle(self) -> None:
            with suppress(ConnectionError), self.request.makefile("rb") as stream:
                while head := _head(stream):
                    kept.heads.append(Request(head, b"").line)
                    kept.all.append(Request(head, _body(head, stream)))
                    answer = OK if kept.all[-1].is_check else kept.answer
                    self.request.sendall(answer)
                    if not answer:
                        return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server((LOOPBACK, 0), Handler) as server:
        kept = RecordingUpstream(f"{LOOPBACK}:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="recorder")
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join(10)


def _head(stream: BinaryIO) -> bytes:
    """The lines up to the empty one, which is left out; nothing if the connection ended."""
    lines = []
    while (line := stream.readline()) not in {b"\r\n", b""}:
        lines.append(line)
    return b"".join(lines)


def _body(head: bytes, stream: BinaryIO) -> bytes:
    """As its head announces it; a chunked one with its framing and trailers."""
    request = Request(head, b"")
    if "chunked" not in request.values("transfer-encoding"):
        return _exactly(int((request.values("content-length") or ["0"])[0]), stream)
    parts = []
    while (size := stream.readline()).strip() not in {b"0", b""}:
        parts += [size, _exactly(int(size, 16) + 2, stream)]
    if not size:
        raise ConnectionAbortedError("the chunks ended before the last")
    return b"".join([*parts, size, _head(stream)])


def _exactly(length: int, stream: BinaryIO) -> bytes:
    """So many bytes; a request that ends before is none."""
    if len(data := stream.read(length)) < length:
        raise ConnectionAbortedError("the body ended before its length")
    return data
