"""Rate limit for failed attempts at the token endpoint: counted in Valkey for the whole deployment (package `limits`).

Only failed attempts are counted, and only their answers change. A right secret always gets its token, so nobody can lock out a
provider by failing in its name. Whether a client id exists makes no difference. During an outage of Valkey there is no limit.
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
"""Failures per minute of one client id from one address."""
FAILURES_OF_AN_ADDRESS = 60
"""Failures per minute from one address, for all client ids."""
TIMEOUT_SECONDS = 1.0
"""How long an answer may wait for Valkey."""
_AT_ONCE = 8
"""Maximum connections to Valkey."""
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
        """Clients over a limit, with the epoch second at which it ends. They cost one lookup here."""
        self._few = asyncio.Semaphore(_AT_ONCE)

    async def failed(self, client_id: str, address: str) -> int:
        """Count a failed attempt. Returns the seconds to wait before the next; 0 below the limit."""
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
        """Count the attempt in Valkey. Returns when the window ends if it is full."""
        if await self._windows.hit(limit, name):
            return 0.0
        stats = await self._windows.get_window_stats(limit, name)
        if len(self._until) >= _REMEMBERED:
            self._until.clear()
        self._until[name] = stats.reset_time
        return stats.reset_time


def _name(*components: str) -> str:
    """A short digest of the parts that does not reveal them."""
    return hashlib.sha256("\0".join(components).encode(errors="surrogatepass")).hexdigest()[:32]
