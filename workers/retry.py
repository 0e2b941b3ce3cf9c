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
from schemas.events import Event
from schemas.failures import Failure, FailureState, Reason, Undecodable
from schemas.harmless import harmless
from schemas.keys import DRAIN
from schemas.tasks import LANE_RETRY, queue_of, retry_task_of
from workers.bells import Bells
from workers.blame import NEVER, after_outage, after_try, blamed
from workers.deliver import Deliver
from workers.drain import Router
from workers.errors import Unreachable
from workers.failures import LEASE_MS, Failures, NotFailed
from workers.handler import Handler
from workers.ledger.ledger import Ledger
from workers.store import UNAVAILABLE, Store

NO_HANDLER_PAUSE_MS = 60_000
"""How long a failure waits whose handler this release does not know."""
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
            if retry_task_of(failure.handler) in self._celery.tasks:
                self._send(failure)
            else:
                self._put_off(failure)

    def _send(self, failure: Failure) -> None:
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

    def _put_off(self, failure: Failure) -> None:
        """Nobody here has this handler: another release may. It must not take the room of those that can be tried."""
        log.warning("%s waits: there is no handler of that name (HANDLER_MODULES)", failure.field)
        self._failures.again(failure, msgspec.structs.replace(failure, next_at_ms=_now_ms() + NO_HANDLER_PAUSE_MS))


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
        deliver: Deliver,
        zone: tzinfo,
        seen_ms: int,
    ) -> None:
        self._handlers = {handler.name: handler for handler in handlers}
        self._router = Router(handlers)
        self._failures, self._retries = failures, retries
        self._store, self._bells = store, bells
        self._ledger, self._deliver = ledger, deliver
        self._zone, self._seen_ms = zone, seen_ms

    def run(self, handler: str, event_id: str) -> None:
        """Try an event again. Raises what Celery shows: `Ignore`, `Retry`, or `EventFailed` when it is dead.

        It is raised where no other error is being handled, since Python would tie it to that one, whose text may quote a customer.
        """
        shown: Exception | None = None
        try:
            shown = self._run(handler, event_id)
            self._retries.send_due()
        except UNAVAILABLE as error:  # what was tried is tried again when its lease is over
            shown = shown or _retry("Valkey is unreachable", type(error)(), _now_ms() + LEASE_MS)
        if shown is not None:
            raise shown

    def _run(self, handler: str, event_id: str) -> Exception | None:
        """One try, and what it means for the record. Returns what Celery is to show, None of a success."""
        try:
            failure = self._failures.get(handler, event_id)
        except NotFailed as error:
            return _ignore(str(error))
        if not self._failures.is_in_flight(failure):
            return _ignore(f"{failure.field} is not due")
        try:
            self._decode_again(failure) if handler == DRAIN else self._apply_again(failure)
        except UNAVAILABLE:
            raise
        except Unreachable as error:
            return self._put_off(failure, str(error))
        except Exception as error:  # whatever a handler raises is this event's
            return self._fail(failure, error)
        self._note_reachable(failure)
        return None

    def _apply_again(self, failure: Failure) -> None:
        handler = self._handlers[failure.handler]
        look = self._deliver.take(self._ledger.apply(handler, [self._event(failure)], self._deliver.room))
        if look is not None:
            self._store.outbox_due(look)
        self._failures.applied(failure)

    def _decode_again(self, failure: Failure) -> None:
        event = self._event(failure)
        routed = self._router.routed(event)
        names = [self._router.names[place - 1] for place in routed.routes]
        self._failures.decoded(failure, event, names, self._seen_ms, routed.unrecognised_name)
        self._bells.ring(names)

    def _event(self, failure: Failure) -> Event:
        if failure.reason is Reason.BODY_MISSING and not failure.body:
            raise Undecodable(failure.reason, failure.message)
        return decode(failure.provider, failure.body, failure.event_id, self._zone, failure.request)

    def _put_off(self, failure: Failure, what: str) -> Exception:
        """The world is away: nobody's event."""
        later = after_outage(failure, _now_ms(), random.uniform)
        self._failures.again(failure, later)
        self._store.note_unreachable(retry_task_of(failure.handler), what)
        return _retry(f"{what} is unreachable", Unreachable(what), later.next_at_ms)

    def _note_reachable(self, failure: Failure) -> None:
        if failure.away:
            self._store.note_reachable(retry_task_of(failure.handler))

    def _fail(self, failure: Failure, error: Exception) -> Exception:
        self._note_reachable(failure)
        policy = NEVER if failure.handler == DRAIN else self._handlers[failure.handler].retry
        changed = after_try(failure, error, policy, _now_ms(), random.uniform)
        shown = blamed(changed, error)
        if not self._failures.again(failure, changed):
            return _ignore(f"{failure.field} was decided on meanwhile")
        if changed.state is FailureState.DEAD:
            log.error("%s is dead after %d tries: %s", failure.field, changed.attempts, changed.reason)
            return shown
        return _retry(str(shown), shown, changed.next_at_ms)


def shown_kwargs(failure: Failure) -> str:
    """The keyword arguments as Flower shows and searches them: the claim check, and beside it the order ids as keywords.

    The message holds the claim check alone. Order ids are the providers' numbers and name nobody, so they may be shown; as many
    as fit, and none with characters that a representation could change.
    """
    shown = {"event_id": failure.event_id}
    plain = [order_id for order_id in failure.order_ids if _PLAIN.fullmatch(order_id) and harmless(order_id) == order_id]
    order_ids = " ".join(plain)[: MAX_KEYWORD_CHARS + 1]
    if len(order_ids) > MAX_KEYWORD_CHARS:
        order_ids = order_ids.rpartition(" ")[0]
    return str(saferepr(shown | {"order_ids": order_ids} if order_ids else shown))


def _ignore(why: str) -> Exception:
    """What makes Celery say nothing more of a message that came too late."""
    ignored: Exception = Ignore(why)
    return ignored


def _retry(message: str, error: Exception, due_ms: int) -> Exception:
    """What makes Celery say RETRY; the next message is sent by the timers, not by Celery."""
    retry: Exception = Retry(message, exc=error, when=datetime.fromtimestamp(due_ms / 1000, UTC))
    retry.args = (message,)  # what Flower shows: a Retry's own are itself, the error and the time
    retry.__cause__ = error
    return retry


def _now_ms() -> int:
    return int(time.time() * 1000)
