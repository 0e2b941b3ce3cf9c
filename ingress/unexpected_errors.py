"""Our own bugs in the log: where each happened, with its traceback, once a minute at the most for each place.

An exception's own text may quote a body, so it is not written.
"""

import logging
import time
import traceback
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingress.problems import BUG
from ingress.refusals import Refusals
from schemas.refusals import NOBODY, Cause

LOG_SECONDS = 60.0

Place = tuple[str, str, int]

log = logging.getLogger("curbside.ingress")


class UnexpectedErrors:
    """The bugs that one ingress has met."""

    def __init__(self) -> None:
        self._logged_at: dict[Place, float] = {}

    def report(self, error: Exception) -> None:
        """Write it down, unless it was within the last minute. How often it happens is what refusals are counted for."""
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1] if frames else None
        place = (type(error).__name__, last.filename if last else "", (last.lineno if last else None) or 0)
        now = time.monotonic()
        if now - self._logged_at.get(place, float("-inf")) >= LOG_SECONDS:
            self._logged_at[place] = now
            log.error("a bug in the ingress: %s", place[0], exc_info=_UnshownTextError().with_traceback(error.__traceback__))


class _UnshownTextError(Exception):
    """Stands in a traceback for an exception whose text may quote a body."""


class ErrorBoundary:
    """Goes around middleware and ends what it lets through, which the server would write down for every request."""

    def __init__(self, app: ASGIApp, refusals: Refusals, unexpected_errors: UnexpectedErrors) -> None:
        self._app, self._refusals, self._unexpected_errors = app, refusals, unexpected_errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on; a request that has no answer by then gets 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = False

        async def noticing(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, receive, noticing)
        except Exception as error:
            self._unexpected_errors.report(error)
            if not answered:
                self._refusals.add(NOBODY, HTTPStatus.INTERNAL_SERVER_ERROR, Cause.BUG)
                await BUG.send(send)
