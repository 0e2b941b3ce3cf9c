"""The workers' connection to Valkey, and which of its errors are an outage.

It uses RESP2: redis-py returns stream replies in another shape under RESP3.
"""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET_TIMEOUT_SECONDS = 10.0
"""Longer than any blocking read of the workers."""
UNAVAILABLE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
)
"""Valkey is unavailable, does not answer, or rejects writes: a dependency outage. No event fails for it."""


def connect(redis_url: str) -> redis.Redis:
    """Create the workers' client. It never repeats a command by itself: the command may have been committed."""
    return redis.Redis.from_url(
        redis_url,
        protocol=2,
        decode_responses=False,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=2.0,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
