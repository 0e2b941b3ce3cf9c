"""One write for each answer.

uvicorn writes an answer's head and its body one by one, and uvloop sends each write at once: two system calls, two segments,
the client woken twice. Joined, they save an eighth of all that an acknowledgement costs (`make bench`, part `ack`).
"""

import asyncio
from typing import Any

LARGE_BYTES = 16 << 10
"""What is written in one piece of this size is not copied to be joined: a document is one object for all who fetch it."""
CLOSE_SECONDS = 10.0
"""How long a client that reads nothing holds a connection that we have closed."""


class JoinedWrites:
    """A transport that keeps back a write until the next one, which it joins, or until the next turn of the event loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._kept: bytes | None = None
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send data in this iteration of the loop or at the start of the next. Drop it if the transport is closing."""
        if self.is_closing():
            self._kept = None
        elif self._kept is None:
            self._kept = data
            self._loop.call_soon(self._flush)
        elif len(data) > LARGE_BYTES:
            self._flush()
            self._transport.write(data)
        else:
            data, self._kept = self._kept + data, None
            self._transport.write(data)

    def close(self) -> None:
        """Send what is kept back, and close the connection; at the latest when `CLOSE_SECONDS` are over."""
        self._flush()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(CLOSE_SECONDS, self._transport.abort)

    def __getattr__(self, name: str) -> Any:
        """Whatever else a transport can do."""
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._kept is not None:
            data, self._kept = self._kept, None
            if not self.is_closing():
                self._transport.write(data)
