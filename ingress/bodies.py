"""Reads a request's body under a limit of size and of time."""

import asyncio

from starlette.types import Receive

from ingress.patience import Patience
from ingress.problems import EMPTY, TOO_SLOW, HttpProblemError, too_large


class BodyReader:
    """Reads bodies. One per event loop."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes, self._patience = limit_bytes, Patience()

    async def read(self, announced: bytes, receive: Receive) -> bytes:
        """The whole body; `announced` is its Content-Length, or empty. Raises `HttpProblemError`."""
        if announced.isdigit() and int(announced) > self._limit_bytes:
            raise HttpProblemError(too_large(self._limit_bytes))
        waiting = self._patience.begin()
        try:
            message = await receive()
            body: bytes = message.get("body", b"")
            if message.get("more_body", False):
                body = await self._rest(body, receive)
        except asyncio.CancelledError:
            if self._patience.was_late(waiting):
                raise HttpProblemError(TOO_SLOW) from None
            raise
        finally:
            self._patience.end(waiting)
        if len(body) > self._limit_bytes:
            raise HttpProblemError(too_large(self._limit_bytes))
        if not body:  # or nobody is there any more to read what becomes of it
            raise HttpProblemError(EMPTY)
        return body

    async def _rest(self, body: bytes, receive: Receive) -> bytes:
        """A body that comes in more than one message."""
        chunks, size, more = [body], len(body), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise HttpProblemError(EMPTY)  # nobody reads it
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._limit_bytes:
                raise HttpProblemError(too_large(self._limit_bytes))
            more = message.get("more_body", False)
        return b"".join(chunks)
