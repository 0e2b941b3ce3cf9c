"""Readiness checks of the services, by the requests that their clients send."""

from collections.abc import Callable, Mapping

import httpx
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from deploy.local.ports import url_of
from schemas.settings import Settings
from schemas.tasks import broker_options

_TIMEOUT_S = 1.0


def checks_of(settings: Settings) -> Mapping[str, Callable[[], bool]]:
    """Return a readiness check for each service, by its name. A check takes about a second at most."""
    celery = Celery("curbside", set_as_current=False)
    celery.conf.update(broker_options(settings.celery_broker_url))
    return {
        "ingress": lambda: _answers(f"{url_of(settings.host, settings.port)}/readyz"),
        "flower": lambda: _answers(f"{url_of(settings.host, settings.flower_port)}/healthcheck"),
        "worker": lambda: _workers_answer(celery, 1 + settings.worker_processes),
    }


def valkey_is_ready(url: str) -> bool:
    """Whether Valkey accepts commands. It does not while it loads its data."""
    try:
        with redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=_TIMEOUT_S, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _workers_answer(celery: Celery, processes: int) -> bool:
    with celery.connection_for_write() as connection:
        try:
            return len(celery.control.ping(timeout=_TIMEOUT_S, limit=processes, connection=connection)) >= processes
        except (OperationalError, *connection.connection_errors, *connection.channel_errors):
            return False
