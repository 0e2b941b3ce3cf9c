"""The addresses that events come in by: `/webhook/<provider>`, Instacart's without a name too, each with or without a slash at its end.

POST is the webhook's. GET and HEAD tell a person, or a console that checks the URL, that the address is right.
"""

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.contracts import CONTRACTS
from schemas.events import Provider

_ALLOW = {"Allow": "GET, HEAD, OPTIONS, POST"}


def webhook_paths() -> dict[str, str]:
    """Every path, and whose events come in by it. No other spelling leads there."""
    paths = {"/webhook": str(Provider.INSTACART)} | {f"/webhook/{provider}": str(provider) for provider in CONTRACTS}
    return paths | {f"{path}/": provider for path, provider in paths.items()}


class WebhookRoute:
    """One of them, whatever the method."""

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
