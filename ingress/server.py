"""The HTTP server of an ingress: uvicorn, with one write for each answer.

uvicorn writes an answer's head and its body one by one, and uvloop sends each write at once: two system calls, two segments, the
client woken twice. Joined, they save an eighth of all that an acknowledgement costs (`make bench`, part `ack`).
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class JoinedWrites:
    """A transport that keeps back a write until the next one, which it joins, or until the next turn of the event loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._call_soon = transport, loop.call_soon
        self._kept: bytes | None = None

    def write(self, data: bytes) -> None:
        """Send it within this turn of the loop, or at the beginning of the next."""
        if self._kept is None:
            self._kept = data
            self._call_soon(self._flush)
        else:
            data, self._kept = self._kept + data, None
            self._transport.write(data)

    def close(self) -> None:
        """Send what is kept back, and hang up."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Whatever else a transport can do."""
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._kept is not None:
            data, self._kept = self._kept, None
            self._transport.write(data)


class Protocol(HttpToolsProtocol):
    """HTTP as an ingress speaks it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Write through `JoinedWrites`."""
        super().connection_made(cast("asyncio.Transport", JoinedWrites(transport, self.loop)))


OPTIONS: dict[str, Any] = {
    "loop": "uvloop",
    "http": "ingress.server:Protocol",
    "ws": "none",
    "lifespan": "on",
    "access_log": False,  # a line for each event would cost more than the event
    "server_header": False,
    "proxy_headers": False,  # nothing here reads whose address it was
    "timeout_graceful_shutdown": 5,
}
"""Of `uvicorn.Config`."""
