"""Sends notifications: Celery messages that start a queue's task. A lost one is sent again within about a second."""

import logging
from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import OperationalError

from schemas.processes import NOTIFICATION_EXPIRES_SECONDS
from schemas.tasks import queue_name, task_name
from workers.valkey.store import Store

log = logging.getLogger("curbside.workers")


class Notifier:
    """Notifies queues. If the broker does not answer, that is logged, and the timers notify again."""

    def __init__(self, celery: Celery, store: Store) -> None:
        self._celery, self._store = celery, store

    def notify(self, queues: Sequence[str]) -> None:
        """Notify the queues that no consumer waits on and that were not notified a moment ago."""
        self.send(self._store.queues_to_notify(queues))

    def notify_another(self, queue: str) -> None:
        """A batch was full: let a second worker start beside this one."""
        if self._store.try_notify(queue):
            self.send([queue])

    def send(self, queues: Sequence[str]) -> None:
        """Send the notifications of queues that are already marked as notified."""
        for queue in queues:
            try:
                self._celery.send_task(task_name(queue), queue=queue_name(queue), expires=NOTIFICATION_EXPIRES_SECONDS)
            except OperationalError as error:
                log.warning(
                    "notification of %s not sent: %s; a timer sends it again", queue, type(error.__cause__ or error).__name__
                )
