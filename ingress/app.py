"""The Starlette application: routes, and the parts' life from start to stop. `ingress.server` serves it."""

import contextlib
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from celery import Celery
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ingress import documents
from ingress.bearer import Verifier
from ingress.doorbell import Doorbell
from ingress.inbox import Inbox
from ingress.jobs import running
from ingress.oauth import TokenEndpoint
from ingress.pressure import watch
from ingress.problems import BUG, Problem
from ingress.signatures import Signatures
from ingress.webhook import Webhook
from schemas.contracts import CONTRACTS
from schemas.keys import READY
from schemas.logs import make_logs_harmless
from schemas.settings import Settings, load
from schemas.tasks import broker_options

log = logging.getLogger("curbside.ingress")

_NEW_OBJECTS = 20_000
"""Between two looks for garbage in cycles."""
_SWITCH_SECONDS = 0.0005
"""How long the thread that sends doorbells may keep the interpreter while the event loop wants it."""


class Ingress(Starlette):
    """Starlette, but an event goes straight to `webhook`: middleware and router cost as much as all that is done for it.

    They see every other request, and would lead to the same endpoint. Theirs is also the answer to a bug, so it is given here too.
    """

    def __init__(self, webhook: Webhook, **options: Any) -> None:
        super().__init__(**options)
        self.router.redirect_slashes = False  # a redirect would send the token again, behind a proxy perhaps in clear
        self.webhook = webhook
        # Paths that events come in by, and the path parameters that the router would find for them.
        self._hot: dict[str, dict[str, str]] = {"/webhook": {}} | {
            f"/webhook/{provider}": {"provider": str(provider)} for provider in CONTRACTS
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "POST" or (found := self._hot.get(scope["path"])) is None:
            await super().__call__(scope, receive, send)
            return
        scope["path_params"] = found
        try:
            await self.webhook(scope, receive, send)
        except Exception as error:
            log.error("a bug in the ingress: %s", type(error).__name__)  # noqa: TRY400 - the server writes where
            await BUG.send(send)
            raise


def create_app(settings: Settings | None = None) -> Starlette:
    """Build the application; without settings they are read from the environment."""
    make_logs_harmless()
    settings = settings or load(os.environ)
    seconds = settings.commit_timeout.total_seconds()
    # No retries: whoever waits for an answer is better told at once that Valkey is away, and the periodic jobs look again.
    options: dict[str, Any] = {"protocol": 2, "socket_connect_timeout": seconds, "retry": Retry(NoBackoff(), 0)}
    pool = ConnectionPool.from_url(settings.redis_url, **options)  # the inbox has a timeout of its own around everything
    valkey = Redis.from_url(settings.redis_url, decode_responses=True, socket_timeout=seconds, **options)
    celery = Celery("curbside", set_as_current=False)
    celery.conf.update(broker_options(settings.celery_broker_url))
    inbox, doorbell = Inbox(pool, seconds), Doorbell(valkey, celery)
    webhook = Webhook(
        inbox, doorbell, Verifier(settings.token_signing_keys), Signatures(settings.afosto_secrets), settings.max_body_bytes
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await _warn_if_not_durable(valkey)
        _collect_garbage_rarely()
        sys.setswitchinterval(_SWITCH_SECONDS)
        async with running(doorbell=doorbell.run(), pressure=watch(valkey, inbox, settings.inbox_max_backlog)):
            yield
        await inbox.close()
        await doorbell.close()
        await valkey.aclose()

    async def readyz(_: Request) -> Response:
        return await _ready(valkey, inbox)

    return Ingress(
        webhook,
        routes=[
            Route("/webhook", webhook, methods=["POST"]),
            Route("/webhook/{provider}", webhook, methods=["POST"]),
            Route("/oauth/token", TokenEndpoint(settings).__call__, methods=["POST"]),
            Route("/healthz", _healthz),
            Route("/readyz", readyz),
            *documents.routes(),
        ],
        exception_handlers={HTTPException: _problem, Exception: _problem},
        lifespan=lifespan,
    )


def _collect_garbage_rarely() -> None:
    """A request leaves next to nothing that counting references does not free: look for cycles in what is new, and not often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 10, 10)


async def _healthz(_: Request) -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


async def _ready(valkey: Redis, inbox: Inbox) -> Response:
    """Ready means that Valkey takes writes and the inbox has room."""
    detail = inbox.refusal
    if detail is None:
        try:
            await valkey.set(READY, 1, px=10_000)
        except (RedisError, OSError) as error:
            detail = f"Valkey takes no writes: {type(error).__name__}"
    if detail is None:
        return Response(b'{"status":"ready"}', media_type="application/json")
    problem = Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)
    return Response(problem.body, 503, {"Retry-After": "1"}, "application/problem+json")


async def _problem(request: Request, error: Exception) -> Response:
    """Every other answer that is not a success: what the router refuses, and our own bugs."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    if status == 500:
        log.error("a bug in the ingress: %s", type(error).__name__)
    details = {
        404: f"there is nothing here; providers post to /webhook, or to /webhook/ and one of {', '.join(CONTRACTS)}",
        405: f"{request.method} is not allowed here",
        500: BUG.detail,
    }
    problem = Problem(HTTPStatus(status), details.get(status, HTTPStatus(status).phrase))
    return Response(problem.body, status, dict(headers or {}), "application/problem+json")


async def _warn_if_not_durable(valkey: Redis) -> None:
    """A 200 promises that the event is on disk: say so when the server's settings do not keep that promise."""
    try:
        config = await valkey.config_get("appendonly", "appendfsync", "maxmemory-policy")
    except (RedisError, OSError):
        return
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    if wrong := {name: value for name, value in wanted.items() if config.get(name, value) != value}:
        advice = ", ".join(f"{name} {value}" for name, value in wrong.items())
        log.warning("Valkey may lose acknowledged events when it crashes: it needs %s", advice)
