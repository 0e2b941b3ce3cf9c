"""`GET /readyz`: whether Valkey takes writes and the inbox has room.

A look at Valkey is a write that it syncs to disk, and strangers may ask: whoever asks within a second of a look gets what it found.
"""

import asyncio
from http import HTTPStatus

from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from ingress.inbox import Inbox, Refusal
from ingress.problems import Problem
from schemas.keys import READY
from schemas.refusals import Cause

PERIOD_SECONDS = 1.0
"""Between the starts of two looks, at the least."""


class Readiness:
    """Looks for all who ask. One per event loop."""

    def __init__(self, valkey: Redis, inbox: Inbox) -> None:
        self._valkey, self._inbox = valkey, inbox
        self._check: asyncio.Task[Refusal | None] | None = None
        self._checked_at = 0.0

    async def __call__(self, _: Request) -> Response:
        """200, or 503 with what is wrong."""
        refusal = self._inbox.refusal or await self._latest_result()
        if refusal is None:
            return Response(b'{"status":"ready"}', media_type="application/json")
        problem = Problem(HTTPStatus.SERVICE_UNAVAILABLE, *refusal)
        return Response(problem.body, 503, {"Retry-After": "1"}, "application/problem+json")

    async def _latest_result(self) -> Refusal | None:
        """What the last look found, or a new one where it is too old. Nobody who hangs up ends a look that others wait for."""
        now = asyncio.get_running_loop().time()
        if self._check is None or (self._check.done() and now - self._checked_at >= PERIOD_SECONDS):
            self._checked_at, self._check = now, asyncio.create_task(self._probe())
        return await asyncio.shield(self._check)

    async def _probe(self) -> Refusal | None:
        try:
            await self._valkey.set(READY, 1, px=10_000)
        except (RedisError, OSError) as error:
            return Refusal(f"Valkey takes no writes: {type(error).__name__}", Cause.UNREACHABLE)
        return None
