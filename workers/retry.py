"""The slow lane: one failed event, one Celery task of its own, tried again at growing intervals until it succeeds or is dead.

What Flower shows: RETRY with the reason after each try, SUCCESS, or FAILURE with the traceback when the record is dead. The message is
only a moment: the timers send what is due, and a lost one is sent again when its lease is over.
"""

import logging
import random
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

import msgspec
from celery import Celery
from celery.exceptions import Ignore, Retry
from celery.utils.saferepr import saferepr
from kombu.exceptions import OperationalError

from schemas.decoding import decode
from schemas.failures import Failure, FailureState
from schemas.keys import DRAIN
from schemas.tasks import LANE_DELIVER, LANE_RETRY, queue_of, retry_task_of
from workers.bells import Bells
from workers.blame import NEVER, after_try, blamed
from workers.drain import Router
from workers.errors import Unreachable
from workers.failures import Failures, NotFailed
from workers.handler import Handler
from workers.ledger.ledger import Ledger
from workers.store import UNAVAILABLE, Store

UNREACHABLE_PAUSE_MS = 5_000
"""The world was away: no try is counted, and it is tried again after this long."""
MAX_KEYWORD_CHARS = 600
"""Flower cuts what it shows of arguments at 1,024 characters."""
_PLAIN = re.compile(r"[\w.:#/-]{1,200}")

log = logging.getLogger("curbside.workers")


class Retries:
    """Sends a Celery task for each failed event that is due."""

    def __init__(self, celery: Celery, failures: Failures) -> None:
        self._celery, self._failures = celery, failures

    def send_due(self) -> None:
        """Send what is due, as far as there is room."""
        for failure in self._failures.take_due(_now_ms()):
            try:
                self._celery.send_task(
                    retry_task_of(failure.handler),
                    kwargs={"event_id": failure.event_id},
                    kwargsrepr=shown_kwargs(failure),
                    task_id=failure.task_id,
                    queue=queue_of(LANE_RETRY),
                )
            except OperationalError as error:
                log.warning("retry of %s not sent: %s; it will be sent again", failure.field, type(error).__name__)


class Retrier:
    """Runs one try."""

    def __init__(
        self,
        handlers: Sequence[Handler],
        *,
        failures: Failures,
        retries: Retries,
        store: Store,
        bells: Bells,
        ledger: Ledger,
        zone: tzinfo,
        seen_ms: int,
    ) -> None:
        self._handlers = {handler.name: handler for handler in handlers}
        self._router = Router(handlers)
        self._failures, self._retries = failures, retries
        self._store, self._bells, self._ledger = store, bells, ledger
        self._zone, self._seen_ms = zone, seen_ms

    def run(self, handler: str, event_id: str) -> None:
        """Try an event again. Raises what Celery shows: `Ignore`, `Retry`, or the error itself when it is dead."""
        try:
            failure = self._failures.get(handler, event_id)
        except NotFailed as error:
            raise Ignore(str(error)) from error
        if not self._failures.is_in_flight(failure):
            raise Ignore(f"{failure.field} is not due")
        try:
            self._decode_again(failure) if handler == DRAIN else self._apply_again(failure)
        except (Unreachable, *UNAVAILABLE) as error:
            due = _now_ms() + UNREACHABLE_PAUSE_MS
            self._failures.again(failure, msgspec.structs.replace(failure, next_at_ms=due))
            raise _retry(f"{error} is unreachable", error, due) from None
        except Exception as error:  # whatever a handler raises is this event's
            self._fail(failure, error)  # which raises what Celery is to show
        finally:
            self._retries.send_due()

    def _apply_again(self, failure: Failure) -> None:
        handler = self._handlers[failure.handler]
        event = decode(failure.provider, failure.body, failure.event_id, self._zone)
        alerted = self._ledger.apply(handler, [event], self._store.outbox_due)
        self._failures.applied(failure)
        if alerted:
            self._bells.ring([LANE_DELIVER])

    def _decode_again(self, failure: Failure) -> None:
        event = decode(failure.provider, failure.body, failure.event_id, self._zone)
        names = [self._router.names[place - 1] for place in self._router.routed(event).routes]
        self._failures.decoded(failure, event, names, self._seen_ms)
        self._bells.ring(names)

    def _fail(self, failure: Failure, error: Exception) -> None:
        policy = NEVER if failure.handler == DRAIN else self._handlers[failure.handler].retry
        changed = after_try(failure, error, policy, _now_ms(), random.uniform)
        self._failures.again(failure, changed)
        shown = blamed(changed, error)
        if changed.state is FailureState.DEAD:
            log.error("%s is dead after %d tries: %s", failure.field, changed.attempts, changed.reason)
            raise shown from None
        raise _retry(str(shown), shown, changed.next_at_ms) from None


def shown_kwargs(failure: Failure) -> str:
    """The keyword arguments as Flower shows and searches them: the claim check, and beside it the order ids as keywords.

    The message holds the claim check alone. Order ids are the providers' numbers and name nobody, so they may be shown; as many
    as fit, and none with characters that a representation could change.
    """
    shown = {"event_id": failure.event_id}
    plain = [order_id for order_id in failure.order_ids if _PLAIN.fullmatch(order_id)]
    order_ids = " ".join(plain)[: MAX_KEYWORD_CHARS + 1]
    if len(order_ids) > MAX_KEYWORD_CHARS:
        order_ids = order_ids.rpartition(" ")[0]
    return str(saferepr(shown | {"order_ids": order_ids} if order_ids else shown))


def _retry(message: str, error: Exception, due_ms: int) -> Retry:
    """What makes Celery say RETRY; the next message is sent by the timers, not by Celery."""
    retry = Retry(message, exc=error, when=datetime.fromtimestamp(due_ms / 1000, UTC))
    retry.args = (message,)  # what Flower shows: a Retry's own are itself, the error and the time
    return retry


def _now_ms() -> int:
    return int(time.time() * 1000)
