"""Sends a Celery task for each failed event that is due for its next attempt.

The failure store decides what is due; the message only starts the attempt, and expires with its lease. If it is not sent, or no
attempt has begun a moment later, this process makes the attempt itself. The lease has one attempt, whoever begins it.
"""

import logging
import re
import time

import msgspec
from celery.utils.saferepr import saferepr

from schemas.failures import Failure
from schemas.processes import UNANSWERED_MS
from schemas.sanitizing import sanitize
from schemas.tasks import RETRY_QUEUE, retry_task_name
from workers.broker import Broker
from workers.failures.failure_store import LEASE_MS, FailureStore
from workers.local_work import LocalWork

NO_HANDLER_PAUSE_MS = 60_000
"""How long a failure waits if this release has no such handler."""
MAX_KEYWORD_CHARS = 600
"""Flower cuts what it shows of arguments at 1,024 characters."""
_PLAIN = re.compile(r"[\w.:#/-]{1,200}")

log = logging.getLogger("curbside.workers")


class RetryScheduler:
    """Starts the retry of each failed event that is due."""

    def __init__(self, broker: Broker, failures: FailureStore, local: LocalWork) -> None:
        self._broker, self._failures, self._local = broker, failures, local
        self._sent = dict[str, tuple[int, Failure]]()
        """When each message was sent, by the failure's field, in epoch milliseconds."""

    def send_due(self) -> None:
        """Start the retries that are due, at most `MAX_IN_FLIGHT` at once. A process that does not work them leaves them."""
        if not self._local.consumes(RETRY_QUEUE):
            return
        self._start_unanswered()
        for failure in self._failures.take_due(now_ms()):
            if self._broker.knows(retry_task_name(failure.handler)):
                self._send(failure)
            else:
                self._postpone(failure)

    def _send(self, failure: Failure) -> None:
        self._sent[failure.field] = now_ms(), failure
        self._broker.send(
            retry_task_name(failure.handler),
            RETRY_QUEUE,
            lambda: self._local.start_retry(failure.handler, failure.event_id),
            kwargs={"event_id": failure.event_id},
            kwargsrepr=shown_kwargs(failure),
            task_id=failure.task_id,
            expires=LEASE_MS / 1000,
        )

    def _start_unanswered(self) -> None:
        """Make the attempts whose message nobody has taken for a while."""
        late = [failure for at, failure in list(self._sent.values()) if at + UNANSWERED_MS <= now_ms()]
        for failure in late:
            self._sent.pop(failure.field, None)
        for failure in self._failures.not_begun(late):
            self._local.start_retry(failure.handler, failure.event_id)

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
