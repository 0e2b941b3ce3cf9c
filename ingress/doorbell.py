"""Tells the workers that the inbox has something: a Celery message without content, off the acknowledgement path.

Losing one costs a second, never an event: every worker has a timer that looks for itself. So no error here reaches a provider.
"""

import asyncio
import logging

from celery import Celery
from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas.keys import DRAIN, bell, linger
from schemas.tasks import queue_of, task_of

BELL_MS = 1_000
"""How long one ring is taken to be on its way: rings within it are one."""
PAUSE_SECONDS = 0.02
"""Between two looks at whether a ring is needed, however many events come in."""

log = logging.getLogger("curbside.ingress")


class Doorbell:
    """Rings for the drain when no drain waits on the inbox by itself."""

    def __init__(self, valkey: Redis, celery: Celery) -> None:
        self._valkey, self._celery = valkey, celery
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There is something new. Costs nothing: the ringing is done by `run`."""
        self._rung.set()

    async def run(self) -> None:
        """Send what was rung, until cancelled."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                if await self._is_needed():
                    await asyncio.to_thread(self._send)
            except (RedisError, OSError) as error:
                log.warning("doorbell not sent: %s; the workers' timers will notice", type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _is_needed(self) -> bool:
        """Nobody waits on the inbox, and no ring is on its way. The look at `linger` comes after the append: see workers.lane."""
        if await self._valkey.exists(linger(DRAIN)):
            return False
        return bool(await self._valkey.set(bell(DRAIN), 1, nx=True, px=BELL_MS))

    def _send(self) -> None:
        try:
            self._celery.send_task(task_of(DRAIN), queue=queue_of(DRAIN), expires=60)
        except self._celery.connection_for_write().connection_errors as error:
            raise ConnectionError(type(error).__name__) from error
        except Exception as error:
            if type(error).__module__.startswith("kombu."):  # kombu.exceptions.OperationalError and its kin
                raise ConnectionError(type(error).__name__) from error
            raise
