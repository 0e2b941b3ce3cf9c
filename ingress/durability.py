"""Checks that Valkey's settings keep the promise of a 200: the event is on disk."""

import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

_WANTED = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}

log = logging.getLogger("curbside.ingress")


async def warn_if_not_durable(valkey: Redis) -> None:
    """Log a warning if Valkey's settings do not keep the promise. A server that does not answer is skipped."""
    try:
        config = await valkey.config_get(*_WANTED)
    except (RedisError, OSError):
        return
    if wrong := {name: value for name, value in _WANTED.items() if config.get(name, value) != value}:
        advice = ", ".join(f"{name} {value}" for name, value in wrong.items())
        log.warning("Valkey may lose acknowledged events when it crashes: it needs %s", advice)
