"""Doorbells: Celery messages that say to a lane that there is something to do. Losing any of them costs a second."""

import logging
from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import OperationalError

from schemas.tasks import queue_of, task_of
from workers.store import Store

EXPIRES_SECONDS = 60
"""A doorbell that nobody answered for so long is thrown away: a newer one has been sent."""

log = logging.getLogger("curbside.workers")


class Bells:
    """Rings for lanes. The broker being away is logged and harms nobody: the timers ring again."""

    def __init__(self, celery: Celery, store: Store) -> None:
        self._celery, self._store = celery, store

    def ring(self, lanes: Sequence[str]) -> None:
        """Ring for those of the lanes that need it."""
        self.send(self._store.lanes_to_ring(lanes))

    def ring_for_help(self, lane: str) -> None:
        """A batch was full: let a second worker start beside this one."""
        if self._store.try_ring(lane):
            self.send([lane])

    def send(self, lanes: Sequence[str]) -> None:
        """Send the doorbells of lanes that are already noted as rung."""
        for lane in lanes:
            try:
                self._celery.send_task(task_of(lane), queue=queue_of(lane), expires=EXPIRES_SECONDS)
            except OperationalError as error:
                log.warning(
                    "doorbell of %s not sent: %s; a timer will ring again", lane, type(error.__cause__ or error).__name__
                )
