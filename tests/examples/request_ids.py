"""ASGI middleware as others write it: every answer carries the request's id, and what went wrong is remembered with it.

INGRESS_MIDDLEWARE=tests.examples.request_ids:RequestIds
"""

import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-Id"


class RequestIds:
    """Hands on the id that a request brings, or makes one."""

    errors: dict[str, str] = {}  # noqa: RUF012 - shared, as a reporter's client is

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = Headers(scope=scope).get(HEADER) or str(uuid.uuid4())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = name
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            self.errors[name] = type(error).__name__
            raise


def twice(app: ASGIApp) -> ASGIApp:
    """A factory is as good as a class."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] += ", twice"
            await send(message)

        await app(scope, receive, send_marked if scope["type"] == "http" else send)

    return wrapped


def broken(_: ASGIApp) -> ASGIApp:
    """Middleware with a bug of its own."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raise LookupError(scope["path"])
        await _(scope, receive, send)

    return wrapped


def needs_more(app: ASGIApp, key: str) -> ASGIApp:
    """No middleware that the ingress can make."""
    raise AssertionError(key)


def nothing(_: ASGIApp) -> None:
    """Gives no application."""


NOT_CALLABLE = 5
