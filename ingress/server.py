"""Configures the HTTP server: uvicorn with `ingress.http_protocol`, and its limit of file descriptors."""

import logging
import resource
from typing import Any

from ingress.http_protocol import HEAD_BYTES
from ingress.self_check import incompatibility
from schemas.settings import Settings

OTHER_DESCRIPTORS = 128
"""Descriptors for Valkey, the broker, logs, and connections being accepted or closed."""


log = logging.getLogger("curbside.ingress")


def options(settings: Settings) -> dict[str, Any]:
    """The options of `uvicorn.Config`."""
    return _protocol() | {
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,  # a line for each event would cost more than the event
        "server_header": False,
        "proxy_headers": False,  # `ingress.client_addresses` finds the address of a client behind a proxy
        "timeout_keep_alive": settings.keep_alive_timeout.total_seconds(),
        "timeout_graceful_shutdown": 5,
    }


def _protocol() -> dict[str, Any]:
    """Our protocol; if the installed releases are incompatible, h11: as strict, slower, no timeout for heads."""
    if (problem := incompatibility()) is None:
        return {"http": "ingress.http_protocol:Protocol"}
    log.warning(
        "uvicorn and httptools, as installed, do not fit: %s. HTTP is parsed by h11: slower, without time-outs for heads",
        problem,
    )
    return {"http": "h11", "h11_max_incomplete_event_size": HEAD_BYTES}


def most_connections(settings: Settings) -> int:
    """`MAX_CONNECTIONS`, or fewer where the system allows fewer descriptors; the soft limit is raised first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, soft - OTHER_DESCRIPTORS)
    return settings.max_connections
