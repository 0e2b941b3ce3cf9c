"""`GET /readyz`: whether Valkey takes writes and the inbox has room.

A check is a write that Valkey syncs to disk, and anybody may ask. So a request within a second of a check gets that check's
result.
"""

import asyncio
from http import HTTPStatus

from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from ingress.inbox import Inbox
from ingress.problems import Problem
from ingress.unavailability import PROBE, Refusal, refusal_of, refusal_of_probe
from schemas.keys import READY

PERIOD_SECONDS = 1.0
"""Minimum time between the starts of two checks."""


class Readiness:
    """Checks for all requests together. One per event loop."""

    def __init__(self, valkey: Redis, inbox: Inbox) -> None:
        self._valkey, self._inbox = valkey, inbox
        self._running: asyncio.Task[Refusal | None] | None = None
        self._runninged_at = 0.0

    async def __call__(self, _: Request) -> Response:
        """Answer 200, or 503 with the reason."""
        refusal = self._inbox.refusal or await self._result()
        if refusal is None:
            return Response(b'{"status":"ready"}', media_type="application/json")
        problem = Problem(HTTPStatus.SERVICE_UNAVAILABLE, *refusal)
        return Response(problem.body, 503, {"Retry-After": "1"}, "application/problem+json")

    async def _result(self) -> Refusal | None:
        """The result of the last check, or of a new one if it is too old. A client that disconnects does not cancel a shared check."""
        now = asyncio.get_running_loop().time()
        if self._running is None or (self._running.done() and now - self._runninged_at >= PERIOD_SECONDS):
            self._runninged_at, self._running = now, asyncio.create_task(self._check())
        return await asyncio.shield(self._running)

    async def _check(self) -> Refusal | None:
        pipeline = self._valkey.pipeline(transaction=False)
        pipeline.execute_command(*PROBE)
        pipeline.set(READY, 1, px=10_000)
        try:
            probe, written = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            return refusal_of(error)
        return refusal_of_probe(probe) or (refusal_of(written) if isinstance(written, Exception) else None)
