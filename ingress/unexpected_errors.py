"""Logs unexpected errors of the ingress with their tracebacks, at most once a minute for each place in the code.

An exception's own text may quote a body, so it is not logged.
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
    """The unexpected errors of one ingress."""

    def __init__(self) -> None:
        self._said_at: dict[Place, float] = {}

    def report(self, error: Exception) -> None:
        """Log the error, unless it was logged within the last minute. The refusals count how often it happens."""
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1] if frames else None
        place = (type(error).__name__, last.filename if last else "", (last.lineno if last else None) or 0)
        now = time.monotonic()
        if now - self._said_at.get(place, float("-inf")) >= LOG_SECONDS:
            self._said_at[place] = now
            log.error("a bug in the ingress: %s", place[0], exc_info=_UnshownTextError().with_traceback(error.__traceback__))


class _UnshownTextError(Exception):
    """Stands in a traceback for an exception whose text may quote a body."""


class ErrorBoundary:
    """Wraps the middleware and handles the exceptions that leave it: the server would log each of them."""

    def __init__(self, app: ASGIApp, refusals: Refusals, unexpected_errors: UnexpectedErrors) -> None:
        self._app, self._refusals, self._unexpected_errors = app, refusals, unexpected_errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request. After an exception, a request without an answer gets 500."""
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
