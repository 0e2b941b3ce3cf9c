"""Reads request bodies within three limits: the size of each, the time for each, and the memory for all together."""

import asyncio
from typing import Any, cast

from starlette.types import Receive

from ingress.body_budget import BodyBudget
from ingress.deadlines import Deadlines
from ingress.problems import EMPTY, OVERLOADED, TOO_SLOW, HttpProblemError, Problem, too_large

BODY_TIMEOUT_SECONDS = 10.0
"""From the end of the headers to the end of the body."""
BODIES_BYTES = 64 << 20
"""Memory for all bodies: those that arrive, and those that wait for Valkey."""

Reading = asyncio.Task[Any]


class BodyReader:
    """Reads bodies. One per event loop. `memory` is shared with the inbox, where bodies wait for their commit."""

    def __init__(self) -> None:
        self.memory: BodyBudget[Reading] = BodyBudget(BODIES_BYTES, lambda task: self._give_up(task, OVERLOADED))
        self._deadlines: Deadlines[Reading] = Deadlines(BODY_TIMEOUT_SECONDS, lambda task: self._give_up(task, TOO_SLOW))
        self._given_up: dict[Reading, Problem] = {}

    async def read(self, announced: bytes, limit_bytes: int, receive: Receive) -> bytes:
        """The whole body. `announced` is its Content-Length, or empty. Raises `HttpProblemError`."""
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
            if problem is not None and task.uncancel() == 0:  # cancelled by our deadline, and not by the server
                raise HttpProblemError(problem) from None
            raise
        finally:
            self._deadlines.end(task)
        if len(body) > limit_bytes:
            raise HttpProblemError(too_large(limit_bytes))
        if not body:  # the client has disconnected
            raise HttpProblemError(EMPTY)
        return body

    async def _rest(self, task: Reading, body: bytes, limit_bytes: int, receive: Receive) -> bytes:
        """Read a body that arrives in more than one message."""
        chunks, size, more = [body], len(body), True
        try:
            while more:
                if not self.memory.hold(task, size):
                    raise HttpProblemError(OVERLOADED)
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HttpProblemError(EMPTY)  # the client has disconnected
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
