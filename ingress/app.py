"""The Starlette application: routes, and the parts' life from start to stop. `ingress.server` serves it."""

import contextlib
import gc
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
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ingress import documents
from ingress.addresses import Address, addresses
from ingress.authentication import authenticators
from ingress.bodies import BodyReader
from ingress.bugs import Bugs, Guard
from ingress.connections import Connections
from ingress.doorbell import Doorbell
from ingress.durability import warn_if_not_durable
from ingress.inbox import Inbox
from ingress.jobs import running
from ingress.limiter import Limiter
from ingress.middleware import wrap
from ingress.oauth import TokenEndpoint
from ingress.peer import Peers
from ingress.pressure import watch
from ingress.problems import BUG, Problem
from ingress.readiness import Readiness
from ingress.refusals import Refusals
from ingress.request_contexts import context_encoders
from ingress.server import most_connections
from ingress.webhook import Webhook
from schemas.contracts import CONTRACTS
from schemas.logs import make_logs_harmless
from schemas.refusals import NOBODY, Cause
from schemas.settings import Settings, load
from schemas.tasks import broker_options

_NEW_OBJECTS = 20_000
"""Between two looks for garbage in cycles."""
_SWITCH_SECONDS = 0.0005
"""How long the thread that sends doorbells may keep the interpreter while the event loop wants it."""


class Ingress(Starlette):
    """Starlette, but an event goes straight to `webhook`: middleware and router cost as much as all that is done for it.

    They see every other request, and would lead to the same endpoint. Theirs is also the answer to a bug, so it is given here too.
    """

    def __init__(self, webhook: Webhook, refusals: Refusals, bugs: Bugs, **options: Any) -> None:
        super().__init__(**options)
        self.router.redirect_slashes = False  # a redirect would send the token again, behind a proxy perhaps in clear
        self.webhook, self._refusals, self._bugs = webhook, refusals, bugs
        self._hot = {path.encode(): {"provider": provider} for path, provider in addresses().items()}
        """Paths that events come in by, as they are sent, and the path parameters of each."""
        self.raises = False
        """Whether a bug's exception goes on after its answer, to middleware outside. Else it is written down here."""

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
                scope["path"] = sent.decode("latin-1")  # as it was sent: none of our paths is written so
            await super().__call__(scope, receive, send)
        except Exception as error:
            if found is not None:
                await self._answer_bug(found["provider"], send)
            if self.raises:
                raise
            self._bugs.report(error)

    async def _answer_bug(self, provider: str, send: Send) -> None:
        self._refusals.add(provider, 500, Cause.BUG)
        with contextlib.suppress(Exception):  # an answer had begun, and the server says so
            await BUG.send(send)


def create_app(settings: Settings | None = None) -> ASGIApp:
    """Build the application; without settings they are read from the environment. Raises `SettingError`."""
    make_logs_harmless()
    settings = settings or load(os.environ)
    seconds = settings.commit_timeout.total_seconds()
    # No retries: whoever waits for an answer is better told at once that Valkey is away, and the periodic jobs look again.
    options: dict[str, Any] = {"protocol": 2, "socket_connect_timeout": seconds, "retry": Retry(NoBackoff(), 0)}
    pool = ConnectionPool.from_url(settings.redis_url, **options)  # the inbox has a timeout of its own around everything
    valkey = Redis.from_url(settings.redis_url, decode_responses=True, socket_timeout=seconds, **options)
    celery = Celery("curbside", set_as_current=False)
    celery.conf.update(broker_options(settings.celery_broker_url))
    bodies, refusals, bugs = BodyReader(), Refusals(valkey, CONTRACTS), Bugs()
    inbox, doorbell = Inbox(pool, bodies.memory, seconds), Doorbell(valkey, celery)
    webhook = Webhook(
        inbox, doorbell, authenticators(settings), context_encoders(settings), bodies, settings.max_body_bytes, refusals
    )
    token = TokenEndpoint(settings, bodies, refusals, Limiter(valkey), Peers(settings.trusted_proxies))

    def refused(problem: Problem) -> None:
        refusals.add(NOBODY, problem.status, problem.cause)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        await warn_if_not_durable(valkey)
        _collect_garbage_rarely()
        sys.setswitchinterval(_SWITCH_SECONDS)
        pressure = watch(valkey, inbox, settings.inbox_max_backlog)
        async with running(doorbell=doorbell.run(), pressure=pressure, refusals=refusals.run()):
            yield {"connections": Connections(most_connections(settings), refused)}
        await inbox.close()
        await doorbell.close()
        await refusals.close()
        await valkey.aclose()

    problem = _Problems(refusals).__call__
    ingress = Ingress(
        webhook,
        refusals,
        bugs,
        routes=[
            *(Route(path, Address(provider, webhook)) for path, provider in addresses().items()),
            *(Route(path, token.__call__, methods=["POST", "OPTIONS"]) for path in ("/oauth/token", "/oauth/token/")),
            Route("/healthz", _healthz),
            Route("/readyz", Readiness(valkey, inbox).__call__),
            *documents.routes(),
        ],
        exception_handlers={HTTPException: problem, Exception: problem},
        lifespan=lifespan,
    )
    if not settings.ingress_middleware:
        return ingress
    ingress.raises = True
    return Guard(wrap(ingress, settings.ingress_middleware), refusals, bugs)


def _collect_garbage_rarely() -> None:
    """A request leaves next to nothing that counting references does not free: look for cycles in what is new, and not often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 10, 10)


async def _healthz(_: Request) -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


class _Problems:
    """Every other answer that is not a success: what the router refuses, and our own bugs outside the path of an event."""

    def __init__(self, refusals: Refusals) -> None:
        self._refusals, self._providers = refusals, addresses()

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
