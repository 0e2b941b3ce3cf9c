"""Sends a Celery task for each failed event that is due for its next attempt.

The failure store decides what is due; the message only starts the attempt. A lost message is sent again after its lease.
"""

import logging
import re
import time

import msgspec
from celery import Celery
from celery.utils.saferepr import saferepr
from kombu.exceptions import OperationalError

from schemas.failures import Failure
from schemas.sanitizing import sanitize
from schemas.tasks import RETRY_QUEUE, queue_name, retry_task_name
from workers.failures.failure_store import FailureStore

NO_HANDLER_PAUSE_MS = 60_000
"""How long a failure waits if this release has no such handler."""
MAX_KEYWORD_CHARS = 600
"""Flower cuts what it shows of arguments at 1,024 characters."""
_PLAIN = re.compile(r"[\w.:#/-]{1,200}")

log = logging.getLogger("curbside.workers")


class RetryScheduler:
    """Sends a Celery task for each failed event that is due."""

    def __init__(self, celery: Celery, failures: FailureStore) -> None:
        self._celery, self._failures = celery, failures

    def send_due(self) -> None:
        """Send the tasks of failures that are due, at most `MAX_IN_FLIGHT` at once."""
        for failure in self._failures.take_due(now_ms()):
            if retry_task_name(failure.handler) in self._celery.tasks:
                self._send(failure)
            else:
                self._postpone(failure)

    def _send(self, failure: Failure) -> None:
        try:
            self._celery.send_task(
                retry_task_name(failure.handler),
                kwargs={"event_id": failure.event_id},
                kwargsrepr=shown_kwargs(failure),
                task_id=failure.task_id,
                queue=queue_name(RETRY_QUEUE),
            )
        except OperationalError as error:
            log.warning("retry of %s not sent: %s; it will be sent again", failure.field, type(error).__name__)

    def _postpone(self, failure: Failure) -> None:
        """Postpone a failure whose handler this release does not have: it must not block those that can be retried."""
        log.warning("%s waits: there is no handler of that name (HANDLER_MODULES)", failure.field)
        self._failures.record_attempt(failure, msgspec.structs.replace(failure, next_at_ms=now_ms() + NO_HANDLER_PAUSE_MS))


def shown_kwargs(failure: Failure) -> str:
    """The keyword arguments as Flower shows and searches them: the event id and the order ids.

    The message itself contains only the event id. Order ids identify no person, so they may be shown: as many as fit, without
    those that contain a character that `repr` would escape.
    """
    shown = {"event_id": failure.event_id}
    plain = [order_id for order_id in failure.order_ids if _PLAIN.fullmatch(order_id) and sanitize(order_id) == order_id]
    order_ids = " ".join(plain)[: MAX_KEYWORD_CHARS + 1]
    if len(order_ids) > MAX_KEYWORD_CHARS:
        order_ids = order_ids.rpartition(" ")[0]
    return str(saferepr(shown | {"order_ids": order_ids} if order_ids else shown))


def now_ms() -> int:
    """The current time, in epoch milliseconds."""
    return int(time.time() * 1000)
