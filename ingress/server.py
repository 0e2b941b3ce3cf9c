"""The HTTP server of an ingress: uvicorn with `ingress.http_protocol`, and the descriptors that it needs."""

import logging
import resource
from typing import Any

from ingress.http_protocol import HEAD_BYTES
from ingress.self_check import incompatibility
from schemas.settings import Settings

OTHER_DESCRIPTORS = 128
"""For Valkey, the broker, logs, and connections on their way from being accepted to being closed."""


log = logging.getLogger("curbside.ingress")


def options(settings: Settings) -> dict[str, Any]:
    """Of `uvicorn.Config`."""
    return _protocol() | {
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,  # a line for each event would cost more than the event
        "server_header": False,
        "proxy_headers": False,  # what needs a client's address behind a proxy asks `ingress.client_addresses`
        "timeout_keep_alive": settings.keep_alive_timeout.total_seconds(),
        "timeout_graceful_shutdown": 5,
    }


def _protocol() -> dict[str, Any]:
    """Ours; where the installed releases do not fit it, uvicorn's on h11, which is as strict, slower, and lets a head take its time."""
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
