"""Notifies the dispatcher that the inbox has events: a Celery message without content, sent off the acknowledgement path.

A lost one costs a second or two and never an event, since every worker has a timer of its own. So no error here reaches a
provider. A notification that nobody has answered is not repeated until it has expired, however long no worker runs.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas.keys import DISPATCH, notified, waiter
from schemas.processes import NOTIFICATION_EXPIRES_SECONDS, NOTIFICATION_LIFETIME_MS
from schemas.tasks import queue_name, task_name

PAUSE_SECONDS = 0.02
"""Between two checks whether a notification is needed, however many events arrive."""

log = logging.getLogger("curbside.ingress")


class Notifier:
    """Notifies the dispatcher, unless a consumer waits on the inbox already."""

    def __init__(self, valkey: Redis, celery: Celery) -> None:
        self._valkey, self._celery = valkey, celery
        self._notified = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "notifier")

    def notify(self) -> None:
        """An event was appended. Costs nothing: `run` sends the notification."""
        self._notified.set()

    async def run(self) -> None:
        """Send notifications, until cancelled. Whatever the broker, Celery raises `OperationalError` in an outage."""
        while True:
            await self._notified.wait()
            self._notified.clear()
            try:
                if await self._is_needed():
                    await asyncio.get_running_loop().run_in_executor(self._thread, self._send)
            except (RedisError, OSError, OperationalError) as error:
                log.warning(
                    "notification not sent: %s; the workers' timers will notice", type(error.__cause__ or error).__name__
                )
            await asyncio.sleep(PAUSE_SECONDS)

    async def close(self) -> None:
        """Close the connection to the broker, after a send that is under way."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._celery.close)
        self._thread.shutdown()

    async def _is_needed(self) -> bool:
        """Whether no consumer waits on the inbox and the last notification is answered or expired. Checked after the append: see `workers.consumers.stream_consumer`."""
        if await self._valkey.exists(waiter(DISPATCH)):
            return False
        return bool(await self._valkey.set(notified(DISPATCH), 1, nx=True, px=NOTIFICATION_LIFETIME_MS))

    def _send(self) -> None:
        self._celery.send_task(task_name(DISPATCH), queue=queue_name(DISPATCH), expires=NOTIFICATION_EXPIRES_SECONDS)
