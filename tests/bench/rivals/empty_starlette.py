"""A Starlette endpoint that answers 200 and does nothing: what the framework alone costs."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def webhook(_: Request) -> Response:
    """Answer 200."""
    return Response(b'{"status":"ok"}', media_type="application/json")


app = Starlette(routes=[Route("/webhook", webhook, methods=["POST"])])
