"""The routes of webhooks: `/webhook/<provider>`, and `/webhook` for Instacart; each with or without a trailing slash.

POST delivers an event. GET and HEAD answer 200, so that a person or a provider's console can check the URL.
"""

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.contracts import CONTRACTS
from schemas.events import Provider

_ALLOW = {"Allow": "GET, HEAD, OPTIONS, POST"}


def webhook_paths() -> dict[str, str]:
    """Every webhook path with its provider. No other spelling of a path is accepted."""
    paths = {"/webhook": str(Provider.INSTACART)} | {f"/webhook/{provider}": str(provider) for provider in CONTRACTS}
    return paths | {f"{path}/": provider for path, provider in paths.items()}


class WebhookRoute:
    """The endpoint of one webhook path, for all methods."""

    def __init__(self, provider: str, webhook: ASGIApp) -> None:
        self._provider, self._webhook = provider, webhook

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = scope["method"]
        if method == "POST":
            scope["path_params"] = {"provider": self._provider}
            await self._webhook(scope, receive, send)
        elif method in {"GET", "HEAD"}:
            text = f"This is the address for events of {self._provider}: they are posted here.\n"
            await PlainTextResponse(text)(scope, receive, send)
        elif method == "OPTIONS":
            await Response(status_code=204, headers=_ALLOW)(scope, receive, send)
        else:
            raise HTTPException(405, headers=_ALLOW)
