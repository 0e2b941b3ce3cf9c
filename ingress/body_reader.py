"""Reads requests' bodies, within limits of size, of time and of memory for all of them together."""

import asyncio
from typing import Any, cast

from starlette.types import Receive

from ingress.deadlines import Deadlines
from ingress.memory_budget import MemoryBudget
from ingress.problems import EMPTY, OVERLOADED, TOO_SLOW, HttpProblemError, Problem, too_large

BODY_TIMEOUT_SECONDS = 10.0
"""From the end of the headers to the end of the body, however slowly it drips in."""
BODIES_BYTES = 64 << 20
"""All bodies in memory: those that arrive, and those that wait for Valkey."""

Reading = asyncio.Task[Any]


class BodyReader:
    """Reads bodies. One per event loop. `memory` is shared with the inbox, where a body waits for its commit."""

    def __init__(self) -> None:
        self.memory: MemoryBudget[Reading] = MemoryBudget(BODIES_BYTES, lambda task: self._give_up(task, OVERLOADED))
        self._deadlines: Deadlines[Reading] = Deadlines(BODY_TIMEOUT_SECONDS, lambda task: self._give_up(task, TOO_SLOW))
        self._given_up: dict[Reading, Problem] = {}

    async def read(self, announced: bytes, limit_bytes: int, receive: Receive) -> bytes:
        """The whole body; `announced` is its Content-Length, or empty. Raises `HttpProblemError`."""
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
            problem = self._given_up.pop(task, None)
            if problem is not None and task.uncancel() == 0:  # it was us who cancelled it, and nobody else
                raise HttpProblemError(problem) from None
            raise
        finally:
            self._deadlines.end(task)
        if len(body) > limit_bytes:
            raise HttpProblemError(too_large(limit_bytes))
        if not body:  # or nobody is there any more to read what becomes of it
            raise HttpProblemError(EMPTY)
        return body

    async def _rest(self, task: Reading, body: bytes, limit_bytes: int, receive: Receive) -> bytes:
        """A body that comes in more than one message."""
        chunks, size, more = [body], len(body), True
        try:
            while more:
                if not self.memory.hold(task, size):
                    raise HttpProblemError(OVERLOADED)
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HttpProblemError(EMPTY)  # nobody reads it
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > limit_bytes:
                    raise HttpProblemError(too_large(limit_bytes))
                more = message.get("more_body", False)
            return b"".join(chunks)
        finally:
            self.memory.release(task)

    def _give_up(self, task: Reading, problem: Problem) -> None:
        self._given_up[task] = problem
        task.cancel()
