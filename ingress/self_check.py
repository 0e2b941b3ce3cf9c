"""Checks at start, in a few milliseconds, that the installed uvicorn and httptools behave as `ingress.http_protocol` needs.

That protocol extends uvicorn's internals. `pyproject.toml` bounds their versions; this check catches what the bounds miss.
"""

import asyncio
from functools import cache
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from ingress.connections import Connections
from ingress.http_protocol import HEAD_BYTES, Protocol

_POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
_GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class _Wire(asyncio.Transport):
    """A transport without a network: it keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self._is_closing = b"", False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self._is_closing = True

    def is_closing(self) -> bool:
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


class _Trial:
    """One connection to an application that records its requests."""

    def __init__(self) -> None:
        self.wire, self.bodies, self.header_names = _Wire(), list[bytes](), list[bytes]()
        config = Config(self._application, interface="asgi3", log_config=None, access_log=False, proxy_headers=False)
        shared = Connections(1, lambda _: None)
        self._protocol = Protocol(config, ServerState(), {"connections": shared})
        self._protocol.connection_made(self.wire)

    async def send(self, *pieces: bytes) -> int:
        """Send data, and return how many requests the application has answered."""
        for piece in pieces:
            self._protocol.data_received(piece)
            for _ in range(10):
                await asyncio.sleep(0)
        self._protocol.connection_lost(None)
        return self.wire.written.count(b"HTTP/1.1 200 ")

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        self.header_names = [name for name, _ in scope["headers"]]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@cache
def failed_promise() -> str | None:
    """What does not hold, in a few words; None if everything does."""
    try:
        return asyncio.run(_complaint())
    except Exception as error:  # another version may raise anything
        return f"{type(error).__name__}: {error}"


async def _complaint() -> str | None:
    head = _POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(_GET)
    trial = _Trial()
    if await trial.send(head, _GET) != 1 or trial.bodies != [_GET]:
        return "a body behind an offer to upgrade is not read as a body"
    trial = _Trial()
    if await trial.send(_GET * 3) != 3 or trial.bodies != [b""] * 3:
        return "pipelined requests are not answered one by one"
    trial = _Trial()
    if await trial.send(_POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nAuthorization: x\r\n\r\n") != 1:
        return "a chunked body is not read"
    if b"authorization" in trial.header_names:
        return "a trailer is taken for a header"
    trial = _Trial()
    if await trial.send(_GET[:-2] + b"X: " + b"x" * HEAD_BYTES) or b" 431 " not in trial.wire.written:
        return "headers have no limit"
    return None
