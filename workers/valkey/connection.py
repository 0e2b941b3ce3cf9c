"""The workers' connection to Valkey, and which of its errors are an outage.

RESP2 is asked for, since redis-py gives stream replies another shape under RESP3.
"""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET_TIMEOUT_SECONDS = 10.0
"""Longer than any blocking read below."""
UNAVAILABLE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
)
"""Valkey is away, does not answer, or takes no writes: the world's fault, nobody's event."""


def connect(redis_url: str) -> redis.Redis:
    """Connect to Valkey as workers need it. A command is never repeated behind our back: a commit may have happened."""
    return redis.Redis.from_url(
        redis_url,
        protocol=2,
        decode_responses=False,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=2.0,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
