"""Tells the workers that the inbox has something: a Celery message without content, off the acknowledgement path.

Losing one costs a second, never an event: every worker has a timer that looks for itself. So no error here reaches a provider.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas.keys import DRAIN, bell, linger
from schemas.tasks import queue_of, task_of

BELL_MS = 1_000
"""How long one ring is taken to be on its way: rings within it are one."""
PAUSE_SECONDS = 0.02
"""Between two looks at whether a ring is needed, however many events come in."""
EXPIRES_SECONDS = 60
"""A doorbell that no worker answered for so long is thrown away: a newer one has been sent."""

log = logging.getLogger("curbside.ingress")


class Doorbell:
    """Rings for the drain when no drain waits on the inbox by itself."""

    def __init__(self, valkey: Redis, celery: Celery) -> None:
        self._valkey, self._celery = valkey, celery
        self._rung = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "doorbell")

    def ring(self) -> None:
        """There is something new. Costs nothing: the ringing is done by `run`."""
        self._rung.set()

    async def run(self) -> None:
        """Send what was rung, until cancelled. Whatever the broker's engine, Celery says `OperationalError` when it is away."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                if await self._is_needed():
                    await asyncio.get_running_loop().run_in_executor(self._thread, self._send)
            except (RedisError, OSError, OperationalError) as error:
                log.warning("doorbell not sent: %s; the workers' timers will notice", type(error.__cause__ or error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)

    async def close(self) -> None:
        """Hang up, after a send that is under way."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._celery.close)
        self._thread.shutdown()

    async def _is_needed(self) -> bool:
        """Nobody waits on the inbox, and no ring is on its way. The look at `linger` comes after the append: see workers.lane."""
        if await self._valkey.exists(linger(DRAIN)):
            return False
        return bool(await self._valkey.set(bell(DRAIN), 1, nx=True, px=BELL_MS))

    def _send(self) -> None:
        self._celery.send_task(task_of(DRAIN), queue=queue_of(DRAIN), expires=EXPIRES_SECONDS)
