"""The Starlette application: its routes, the shortcut that events take past them, and the answers to everything else."""

import asyncio
import contextlib
import os
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ingress import documents
from ingress.components import Components
from ingress.middleware import wrap
from ingress.problems import BUG, STOPPING, Problem
from ingress.refusals import Refusals
from ingress.unexpected_errors import ErrorBoundary, UnexpectedErrors
from ingress.webhook import Webhook
from ingress.webhook_routes import WebhookRoute, webhook_paths
from schemas.contracts import CONTRACTS
from schemas.log_records import sanitize_logs
from schemas.refusals import NOBODY, Cause
from schemas.settings import Settings, load


class Ingress(Starlette):
    """Starlette, with a shortcut: an event goes straight to `webhook`. Middleware and router would double its cost.

    Starlette serves every other request, and would route an event to the same endpoint. Its answer to an unexpected error is
    repeated here.
    """

    def __init__(self, webhook: Webhook, refusals: Refusals, unexpected_errors: UnexpectedErrors, **options: Any) -> None:
        super().__init__(**options)
        self.router.redirect_slashes = False  # a redirect would send the token again, behind a proxy perhaps in clear
        self.webhook, self._refusals, self._unexpected_errors = webhook, refusals, unexpected_errors
        self._hot = {path.encode(): {"provider": provider} for path, provider in webhook_paths().items()}
        """The webhook paths in raw form, each with its path parameters."""
        self.raises = False
        """Whether an unexpected error is raised again after its answer, for outer middleware. Otherwise it is logged here."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        found = self._hot.get(sent) if (sent := scope.get("raw_path")) and scope["method"] == "POST" else None
        try:
            if found is not None:
                scope["path_params"] = found
                await self.webhook(scope, receive, send)
                return
            if sent and b"%" in sent:
                scope["path"] = sent.decode("latin-1")  # in raw form: no webhook path is percent-encoded
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:  # the server cancels what outlasts a stop
            with contextlib.suppress(Exception):
                await STOPPING.send(send)
        except Exception as error:
            if found is not None:
                await self._answer_bug(found["provider"], send)
            if self.raises:
                raise
            self._unexpected_errors.report(error)

    async def _answer_bug(self, provider: str, send: Send) -> None:
        self._refusals.add(provider, 500, Cause.BUG)
        with contextlib.suppress(Exception):  # an answer had begun: the server logs the error
            await BUG.send(send)


def create_app(settings: Settings | None = None) -> ASGIApp:
    """Build the application; without settings they are read from the environment. Raises `SettingError`."""
    sanitize_logs()
    components = Components(settings or load(os.environ))
    problem = _Problems(components.refusals).__call__
    ingress = Ingress(
        components.webhook,
        components.refusals,
        components.unexpected_errors,
        routes=[
            *(Route(path, WebhookRoute(provider, components.webhook)) for path, provider in webhook_paths().items()),
            *(
                Route(path, components.token.__call__, methods=["POST", "OPTIONS"])
                for path in ("/oauth/token", "/oauth/token/")
            ),
            Route("/healthz", _healthz),
            Route("/readyz", components.readiness.__call__),
            *documents.routes(),
        ],
        exception_handlers={HTTPException: problem, Exception: problem},
        lifespan=lambda _: components.lifespan(),
    )
    middleware = components.settings.ingress_middleware
    if not middleware:
        return ingress
    ingress.raises = True
    return ErrorBoundary(wrap(ingress, middleware), components.refusals, components.unexpected_errors)


async def _healthz(_: Request) -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


class _Problems:
    """The problem document for every error answer of Starlette: unknown routes, wrong methods, unexpected errors."""

    def __init__(self, refusals: Refusals) -> None:
        self._refusals, self._providers = refusals, webhook_paths()

    async def __call__(self, request: Request, error: Exception) -> Response:
        status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
        details = {
            404: f"there is nothing here; providers post to /webhook, or to /webhook/ and one of {', '.join(CONTRACTS)}",
            405: f"{request.method} is not allowed here",
            500: BUG.detail,
        }
        cause = _CAUSES.get(status, Cause.BUG)
        self._refusals.add(self._providers.get(request.scope["path"], NOBODY), status, cause)
        problem = Problem(HTTPStatus(status), details.get(status, HTTPStatus(status).phrase), cause)
        return Response(problem.body, status, dict(headers or {}), "application/problem+json")


_CAUSES = {404: Cause.NOT_FOUND, 405: Cause.METHOD}
