"""A plain ASGI function that answers 200 and does nothing: the server's own limit."""

from starlette.types import Receive, Scope, Send

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"15")]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 200."""
    if scope["type"] != "http":  # lifespan is off for this one
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b'{"status":"ok"}'})
