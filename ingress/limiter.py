"""Limits failed attempts at the token endpoint, counted in Valkey for the whole deployment (package `limits`).

Only failed attempts are counted and answered 429. A right secret always gets its token, so a stranger cannot lock out a
provider. Unknown client ids are treated the same. During an outage of Valkey nothing is limited.
"""

import asyncio
import hashlib
import math
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ingress.client_addresses import network_of
from schemas.keys import LIMIT_PREFIX

FAILURES_OF_A_CLIENT = 10
"""Failures per minute of one client id at one address."""
FAILURES_OF_AN_ADDRESS = 60
"""Failures per minute of one address, over all client ids."""
TIMEOUT_SECONDS = 1.0
"""How long an answer may wait for Valkey."""
_AT_ONCE = 8
"""Most concurrent connections to Valkey."""
_REMEMBERED = 4096


class Limiter:
    """Counts failed attempts. One per event loop."""

    def __init__(self, valkey: Redis) -> None:
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=LIMIT_PREFIX,
            connection_pool=valkey.connection_pool,  # type: ignore[arg-type]
        )
        self._windows = FixedWindowRateLimiter(storage)
        self._client = RateLimitItemPerMinute(FAILURES_OF_A_CLIENT, namespace="client")
        self._address = RateLimitItemPerMinute(FAILURES_OF_AN_ADDRESS, namespace="address")
        self._until: dict[str, float] = {}
        """Names over a limit, each with the end of its window in epoch seconds: they need no call to Valkey."""
        self._few = asyncio.Semaphore(_AT_ONCE)

    async def failed(self, client_id: str, address: str) -> int:
        """Count a failed attempt. Returns the seconds to wait before the next; 0 below the limits."""
        place = network_of(address)
        whose = {_name(place): self._address, _name(place, client_id): self._client}
        if not (until := max(self._until.get(name, 0.0) for name in whose)) > time.time():
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS), self._few:
                    until = max([await self._count(limit, name) for name, limit in whose.items()])
            except (RedisError, OSError):  # a timeout is an OSError
                return 0
        return max(0, math.ceil(until - time.time()))

    async def _count(self, limit: RateLimitItemPerMinute, name: str) -> float:
        """Count an attempt. Returns the end of the window in epoch seconds if it is full, else 0."""
        if await self._windows.hit(limit, name):
            return 0.0
        stats = await self._windows.get_window_stats(limit, name)
        if len(self._until) >= _REMEMBERED:
            self._until.clear()
        self._until[name] = stats.reset_time
        return stats.reset_time


def _name(*components: str) -> str:
    """A short digest of the components that does not reveal them."""
    return hashlib.sha256("\0".join(components).encode(errors="surrogatepass")).hexdigest()[:32]
