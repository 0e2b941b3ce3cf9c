"""The components of one ingress, and their lifespan."""

import contextlib
import gc
import sys
from collections.abc import AsyncIterator
from typing import Any

from celery import Celery
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ingress.acknowledged import Acknowledged
from ingress.authentication import authenticators
from ingress.background import running
from ingress.backpressure import monitor
from ingress.body_reader import BodyReader
from ingress.client_addresses import ClientAddresses
from ingress.connections import Connections
from ingress.durability import warn_if_not_durable
from ingress.inbox import Inbox
from ingress.limiter import Limiter
from ingress.notifier import Notifier
from ingress.oauth import TokenEndpoint
from ingress.problems import Problem
from ingress.readiness import Readiness
from ingress.refusals import Refusals
from ingress.request_contexts import context_encoders
from ingress.server import most_connections
from ingress.unexpected_errors import UnexpectedErrors
from ingress.webhook import Webhook
from schemas.contracts import CONTRACTS
from schemas.processes import SWITCH_INTERVAL_SECONDS
from schemas.refusals import NOBODY
from schemas.settings import Settings
from schemas.tasks import broker_options

_NEW_OBJECTS = 20_000
"""New objects between two runs of the cyclic garbage collector."""


class Components:
    """All components. One per event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        seconds = settings.commit_timeout.total_seconds()
        # No retries: a waiting client should learn of an outage at once, and the periodic jobs try again by themselves.
        options: dict[str, Any] = {"protocol": 2, "socket_connect_timeout": seconds, "retry": Retry(NoBackoff(), 0)}
        pool = ConnectionPool.from_url(settings.redis_url, **options)  # the inbox has its own timeout
        self.valkey = Redis.from_url(settings.redis_url, decode_responses=True, socket_timeout=seconds, **options)
        celery = Celery("curbside", set_as_current=False)
        celery.conf.update(broker_options(settings.celery_broker_url))
        self.refusals, self.unexpected_errors, bodies = Refusals(self.valkey, CONTRACTS), UnexpectedErrors(), BodyReader()
        acknowledged = Acknowledged(settings.reappend_window.total_seconds(), settings.reappend_bytes)
        self.inbox, self.notifier = Inbox(pool, bodies.memory, seconds, acknowledged), Notifier(self.valkey, celery)
        proofs, contexts = authenticators(settings), context_encoders(settings)
        self.webhook = Webhook(self.inbox, self.notifier, proofs, contexts, bodies, settings.max_body_bytes, self.refusals)
        peers = ClientAddresses(settings.trusted_proxies)
        self.token = TokenEndpoint(settings, bodies, self.refusals, Limiter(self.valkey), peers)
        self.readiness = Readiness(self.valkey, self.inbox)

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[dict[str, Any]]:
        """The lifespan of the application. It yields the state that the server gives to each connection."""
        await warn_if_not_durable(self.valkey)
        _collect_garbage_rarely()
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        pressure = monitor(self.valkey, self.inbox, self.settings.inbox_max_backlog)
        async with running(notifier=self.notifier.run(), pressure=pressure, refusals=self.refusals.run()):
            yield {"connections": Connections(most_connections(self.settings), self._refused)}
        await self.inbox.close()
        await self.notifier.close()
        await self.refusals.close()
        await self.valkey.aclose()

    def _refused(self, problem: Problem) -> None:
        """Count a refusal on a connection whose sender is not known."""
        self.refusals.add(NOBODY, problem.status, problem.cause)


def _collect_garbage_rarely() -> None:
    """Run the cyclic garbage collector rarely and on new objects only: reference counting frees nearly all that a request allocates."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 10, 10)
