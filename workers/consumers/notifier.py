"""Sends notifications: Celery messages that start a queue's task. If one is not answered or not sent, the work starts anyway."""

from collections.abc import Sequence
from functools import partial

from schemas.processes import NOTIFICATION_EXPIRES_SECONDS
from schemas.tasks import task_name
from workers.broker import Broker
from workers.local_work import LocalWork
from workers.valkey.store import Store


class Notifier:
    """Notifies queues. While the broker is away, it starts the queues of this process itself, and other workers start theirs."""

    def __init__(self, broker: Broker, store: Store, local: LocalWork) -> None:
        self._broker, self._store, self._local = broker, store, local

    def notify(self, queues: Sequence[str]) -> None:
        """Notify the queues that no consumer waits on. Start those whose last notification nobody has answered."""
        to_notify, unanswered = self._store.queues_to_notify(queues)
        self.send(to_notify)
        for queue in unanswered:
            self._local.start(queue)

    def notify_or_start(self, queues: Sequence[str]) -> None:
        """Notify the queues of this process that have work, or start them if the broker is away."""
        if self._broker.away is None:
            self.notify(queues)
        else:
            for queue in queues:
                self._local.start(queue)

    def notify_another(self, queue: str) -> None:
        """A batch was full: let a second worker start beside this one."""
        if self._store.try_notify(queue):
            self.send([queue])

    def send(self, queues: Sequence[str]) -> None:
        """Send the notifications of queues that are already marked as notified."""
        for queue in queues:
            unsent = partial(self._local.start, queue)
            self._broker.send(task_name(queue), queue, unsent, expires=NOTIFICATION_EXPIRES_SECONDS)
