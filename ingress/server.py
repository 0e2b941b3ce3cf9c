"""The HTTP server of an ingress: uvicorn with `ingress.http_protocol`, and the file descriptors that it needs."""

import logging
import resource
from typing import Any

from ingress.http_protocol import HEAD_BYTES
from ingress.self_check import failed_promise
from schemas.settings import Settings

OTHER_DESCRIPTORS = 128
"""File descriptors for Valkey, the broker, logs, and connections that are just being accepted or closed."""


log = logging.getLogger("curbside.ingress")


def options(settings: Settings) -> dict[str, Any]:
    """The options for `uvicorn.Config`."""
    return _protocol() | {
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,  # a log line costs more than an event
        "server_header": False,
        "proxy_headers": False,  # `ingress.client_addresses` finds the client's address behind a proxy
        "timeout_keep_alive": settings.keep_alive_timeout.total_seconds(),
        "timeout_graceful_shutdown": 5,
    }


def _protocol() -> dict[str, Any]:
    """Our protocol. If the installed releases do not fit, uvicorn's on h11: as strict, slower, and without a time-out for heads."""
    if (problem := failed_promise()) is None:
        return {"http": "ingress.http_protocol:Protocol"}
    log.warning(
        "uvicorn and httptools, as installed, do not fit: %s. HTTP is parsed by h11: slower, without time-outs for heads",
        problem,
    )
    return {"http": "h11", "h11_max_incomplete_event_size": HEAD_BYTES}


def most_connections(settings: Settings) -> int:
    """`MAX_CONNECTIONS`, or fewer if the system allows fewer file descriptors. Raises the soft limit first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, soft - OTHER_DESCRIPTORS)
    return settings.max_connections
