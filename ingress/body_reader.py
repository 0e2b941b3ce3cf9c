"""Reads request bodies within limits of size, time and total memory."""

import asyncio
from typing import Any, cast

from starlette.types import Receive

from ingress.deadlines import Deadlines
from ingress.memory_budget import MemoryBudget
from ingress.problems import EMPTY, OVERLOADED, TOO_SLOW, HttpProblemError, Problem, too_large

BODY_TIMEOUT_SECONDS = 10.0
"""From the end of the headers to the end of the body."""
BODIES_BYTES = 64 << 20
"""Limit on all bodies in memory: those being received, and those waiting for their commit to Valkey."""

Reading = asyncio.Task[Any]


class BodyReader:
    """Reads request bodies. One per event loop. `memory` is shared with the inbox, where a body waits for its commit."""

    def __init__(self) -> None:
        self.memory: MemoryBudget[Reading] = MemoryBudget(BODIES_BYTES, lambda task: self._cancel(task, OVERLOADED))
        self._deadlines: Deadlines[Reading] = Deadlines(BODY_TIMEOUT_SECONDS, lambda task: self._cancel(task, TOO_SLOW))
        self._cancelled: dict[Reading, Problem] = {}

    async def read(self, announced: bytes, limit_bytes: int, receive: Receive) -> bytes:
        """Return the whole body. `announced` is its Content-Length, or empty. Raises `HttpProblemError`.

        A request whose body has not arrived in `BODY_TIMEOUT_SECONDS` is cancelled (408).
        """
        if announced.isdigit() and int(announced) > limit_bytes:
            raise HttpProblemError(too_large(limit_bytes))
        task = cast("Reading", asyncio.current_task())
        self._deadlines.begin(task)
        try:
            message = await receive()
            body: bytes = message.get("body", b"")
            if message.get("more_body", False):
                body = await self._rest(task, body, limit_bytes, receive)
        except asyncio.CancelledError:
            problem = self._cancelled.pop(task, None)
            if problem is not None and task.uncancel() == 0:  # nothing but this reader cancelled it
                raise HttpProblemError(problem) from None
            raise
        finally:
            self._deadlines.end(task)
        if len(body) > limit_bytes:
            raise HttpProblemError(too_large(limit_bytes))
        if not body:  # or the client has disconnected
            raise HttpProblemError(EMPTY)
        return body

    async def _rest(self, task: Reading, body: bytes, limit_bytes: int, receive: Receive) -> bytes:
        """Read the rest of a body that arrives in more than one message."""
        chunks, size, more = [body], len(body), True
        try:
            while more:
                if not self.memory.hold(task, size):
                    raise HttpProblemError(OVERLOADED)
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HttpProblemError(EMPTY)  # the client does not read the answer
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > limit_bytes:
                    raise HttpProblemError(too_large(limit_bytes))
                more = message.get("more_body", False)
            return b"".join(chunks)
        finally:
            self.memory.release(task)

    def _cancel(self, task: Reading, problem: Problem) -> None:
        self._cancelled[task] = problem
        task.cancel()
