"""Counts refused requests, in Valkey for the whole deployment, and in the log.

`add` costs one dictionary access. Each second `run` adds the new counts to Valkey, and logs each cause at most once a minute.
During an outage of Valkey the counts are kept and added later. A killed ingress loses those of its last second. If Valkey's
reply is lost, one second's refusals may be counted twice.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Collection

from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas.keys import REFUSED, REFUSED_LAST, REFUSED_SECONDS, refused_in
from schemas.refusals import NOBODY, Cause, Refused, explain

PERIOD_SECONDS = 1.0
LOG_SECONDS = 60.0

log = logging.getLogger("curbside.ingress")


class Refusals:
    """The refused requests of one ingress. One per event loop."""

    def __init__(self, valkey: Redis, providers: Collection[str]) -> None:
        self._valkey, self._providers = valkey, frozenset(providers)
        self._new: dict[Refused, tuple[int, float]] = {}
        """Counts that are not yet in Valkey, each with the epoch second of the last refusal."""
        self._unsaid: Counter[Refused] = Counter()
        self._said_at: dict[str, float] = {}
        self._adding = asyncio.Lock()

    def add(self, provider: str, status: int, cause: Cause) -> None:
        """Count one refusal. A `provider` that is not known is counted as `NOBODY`."""
        refused = Refused(provider if provider in self._providers else NOBODY, int(status), cause)
        self._new[refused] = (self._new.get(refused, (0, 0.0))[0] + 1, time.time())
        self._unsaid[refused] += 1

    async def run(self) -> None:
        """Store and log the counts until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            self._log_causes(time.monotonic(), LOG_SECONDS)
            await asyncio.shield(self._store())  # a cancellation half-way would leave it unknown what is stored

    async def close(self) -> None:
        """Store and log the rest."""
        self._log_causes(time.monotonic(), 0.0)
        await self._store()

    async def _store(self) -> None:
        async with self._adding:
            new, self._new = self._new, {}
            try:
                await self._store_these(new)
            except (RedisError, OSError):
                for refused, (count, at) in new.items():
                    later, later_at = self._new.get(refused, (0, at))
                    self._new[refused] = (count + later, later_at)

    async def _store_these(self, new: dict[Refused, tuple[int, float]]) -> None:
        """Store the counts in one round trip. A later attempt opens a new connection, which a frozen Valkey does not accept."""
        if not new:
            return
        pipeline = self._valkey.pipeline(transaction=True)
        for refused, (count, at) in new.items():
            minute = refused_in(int(at) // 60)
            pipeline.hincrby(REFUSED, refused.field, count)
            pipeline.hset(REFUSED_LAST, refused.field, str(int(at * 1000)))
            pipeline.hincrby(minute, refused.field, count)
            pipeline.expire(minute, REFUSED_SECONDS)
        await pipeline.execute()

    def _log_causes(self, now: float, pause_seconds: float) -> None:
        """Log each cause that was not logged within the last minute."""
        for cause in {refused.cause for refused in self._unsaid}:
            if now - self._said_at.get(cause, float("-inf")) < pause_seconds:
                continue
            self._said_at[cause] = now
            counts = {refused: self._unsaid.pop(refused) for refused in list(self._unsaid) if refused.cause == cause}
            of_whom = ", ".join(f"{each.provider} {each.status}: {count}" for each, count in counts.items())
            what, question = explain(cause)
            total = sum(counts.values())
            log.warning("refused %d request%s because of %s (%s); %s", total, "s"[: total - 1], what, of_whom, question)
