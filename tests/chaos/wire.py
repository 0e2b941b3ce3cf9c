"""One HTTP/1.1 connection of a provider, with as little CPU as Python allows: one request at a time, small answers."""

import asyncio
from typing import Self, cast

LOOPBACK = "127.0.0.1"
TIMEOUT_SECONDS = 5.0
_END = b"\r\n\r\n"


class NoAnswerError(Exception):
    """The request may have arrived or not."""


class Connection(asyncio.Protocol):
    """A connection to an ingress. After `NoAnswerError` it is closed."""

    def __init__(self, port: int) -> None:
        self._host = f"{LOOPBACK}:{port}"
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._received = b""

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect. Raises OSError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, connection = await loop.create_connection(lambda: cls(port), LOOPBACK, port)
        return connection

    @property
    def is_closed(self) -> bool:
        """Whether another one is needed."""
        return self._transport is None or self._transport.is_closing()

    async def post(self, path: str, proof: str, body: bytes) -> tuple[int, bytes]:
        """Post a body with its proof: a signature of Afosto, or a bearer token. Returns status and body of the answer."""
        name = "Authorization" if proof.startswith("Bearer ") else "X-Afosto-Hmac-Sha256"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\n{name}: {proof}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        if self._transport is None:
            raise NoAnswerError
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[int, bytes]] = loop.create_future()
        self._answer = answer
        late = loop.call_later(TIMEOUT_SECONDS, self._transport.abort)
        self._transport.write(head.encode() + body)
        try:
            return await answer
        finally:
            late.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(_END)
        if not end:
            return
        lower = head.lower()
        start = lower.find(b"content-length:")
        length = int(lower[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(body) >= length and self._answer is not None and not self._answer.done():
            self._received = b""
            self._answer.set_result((int(head[9:12]), body[:length]))
            if b"connection: close" in lower and self._transport is not None:
                self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(NoAnswerError())
