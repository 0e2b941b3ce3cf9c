"""The retry executor: each failed event is a Celery task, retried at growing intervals until it succeeds or is dead.

Flower shows RETRY with the reason after each attempt, then SUCCESS, or FAILURE with the traceback when the failure is dead.
"""

import logging
import random
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

from celery.exceptions import Ignore, Retry

from schemas.events import Event
from schemas.failures import DecodeError, Failure, FailureState, Reason
from schemas.keys import DISPATCH_NAMES
from schemas.parsing.durations import milliseconds
from schemas.request_context import encode_context
from schemas.tasks import retry_task_name
from workers.alerts.outbox_relay import OutboxRelay
from workers.dispatcher import Router
from workers.errors import DependencyUnavailableError, FailureNotFoundError
from workers.event_decoder import EventDecoder
from workers.failures.error_report import is_known, to_celery_error
from workers.failures.failure_store import LEASE_MS
from workers.failures.retry_policy import NO_RETRY, after_attempt, after_outage
from workers.failures.retry_scheduler import now_ms
from workers.handler import Handler
from workers.isolation import IsolatedEvent
from workers.ledger.faults import Fault, fault_of
from workers.ledger.ledger import Ledger, refused
from workers.resources import Resources
from workers.suspects import Suspects
from workers.valkey.connection import UNAVAILABLE, cause_of

log = logging.getLogger("curbside.workers")


class RetryExecutor:
    """Runs one attempt."""

    def __init__(self, resources: Resources, ledger: Ledger, relay: OutboxRelay) -> None:
        self._handlers = {handler.name: handler for handler in resources.handlers}
        self._router = Router(resources.handlers)
        self._failures, self._scheduler = resources.failures, resources.scheduler
        self._store, self._notifier = resources.store, resources.notifier
        self._ledger, self._relay, self._heartbeat = ledger, relay, resources.heartbeat
        self._decoder = EventDecoder.of(resources.settings)
        self._seen_ms = milliseconds(resources.settings.dedupe_window)

    def run(self, handler: str, event_id: str) -> None:
        """Retry an event. Raises what Celery must show: `Ignore`, `Retry`, or `EventFailedError` when the failure is dead.

        It is raised while no other error is handled: Python would chain it to that one, whose text may quote a customer.
        """
        shown: Exception | None = None
        try:
            shown = self._run(handler, event_id)
            self._scheduler.send_due()
        except UNAVAILABLE as error:  # it is retried after its lease
            shown = shown or _retry(
                f"Valkey is unreachable ({cause_of(error)})", DependencyUnavailableError("Valkey"), now_ms() + LEASE_MS
            )
        except DependencyUnavailableError as error:  # nor could it be postponed
            shown = shown or _retry(f"{error} is unreachable", DependencyUnavailableError(str(error)), now_ms() + LEASE_MS)
        if shown is not None:
            raise shown

    def _run(self, handler: str, event_id: str) -> Exception | None:
        """Make one attempt and update the record. Returns what Celery must show; None after a success."""
        try:
            failure = self._failures.get(handler, event_id)
        except FailureNotFoundError as error:
            return _ignore(str(error))
        if not self._failures.begin(failure, now_ms()):
            return _ignore(f"{failure.field} is not due, or is being tried")
        try:
            self._attempt(failure)
        except UNAVAILABLE:
            raise
        except DependencyUnavailableError as error:
            return self._postpone(failure, error)
        except Exception as error:  # a handler may raise anything: the event fails
            if fault_of(error) is Fault.IN_DOUBT and not is_known(failure, error):
                return self._postpone(failure, refused(error))
            return self._fail(failure, error)
        self._note_reachable(failure)
        return None

    def _attempt(self, failure: Failure) -> None:
        """Make one attempt, under a lease that is renewed. One that follows an attempt which ended its worker is isolated."""
        handler = self._handlers.get(failure.handler)
        suspects = Suspects(self._store.client, seconds=handler.timeout_seconds if handler else None)
        suspected = suspects.begin(failure.field) > 1 or failure.reason is Reason.KILLED_WORKER
        try:
            with closing(suspects), self._heartbeat.holding(failure.field, partial(self._failures.renew, failure)):
                if suspected:
                    suspects.decode([_isolated(failure)])
                if handler is None:
                    self._decode_again(failure)
                else:
                    self._apply_again(handler, failure, suspects if suspected or handler.timeout else None)
        finally:
            suspects.end(failure.field)

    def _apply_again(self, handler: Handler, failure: Failure, suspects: Suspects | None) -> None:
        event = self._event(failure)
        if suspects is None:
            applied = self._ledger.apply(handler, [event], self._relay.capacity)
        else:
            applied = suspects.apply(handler, [(event, failure.body)])
        due = self._relay.send_new(applied.alerts)
        if due is not None:
            self._store.outbox_due(due)
        for _, error in applied.failed:
            raise error  # what could be read of it is applied; the rest is still at fault
        self._failures.resolve(failure)

    def _decode_again(self, failure: Failure) -> None:
        event = self._event(failure)
        routed = self._router.routed(event)
        names = [self._router.names[place - 1] for place in routed.routes]
        self._failures.resolve_decoded(failure, event, names, self._seen_ms, routed.unrecognised_name)
        self._notifier.notify(names)

    def _event(self, failure: Failure) -> Event:
        if failure.reason is Reason.BODY_MISSING and not failure.body:
            raise DecodeError(failure.reason, failure.message)
        return self._decoder.decode(failure.provider, failure.body, failure.event_id, failure.request)

    def _postpone(self, failure: Failure, error: DependencyUnavailableError) -> Exception:
        """Postpone the retry in a dependency outage, which counts no attempt."""
        what, is_set_aside = str(error), not failure.attempts
        later = after_outage(failure, now_ms(), random.uniform, error)
        self._failures.record_attempt(failure, later)
        self._store.note_unreachable(
            retry_task_name(failure.handler), what, failure.first_at_ms or None if is_set_aside else None
        )
        return _retry(f"{what} is unreachable", DependencyUnavailableError(what), later.next_at_ms)

    def _note_reachable(self, failure: Failure) -> None:
        if failure.away:
            self._store.note_reachable(retry_task_name(failure.handler))

    def _fail(self, failure: Failure, error: Exception) -> Exception:
        self._note_reachable(failure)
        policy = NO_RETRY if failure.handler in DISPATCH_NAMES else self._handlers[failure.handler].retry
        changed = after_attempt(failure, error, policy, now_ms(), random.uniform)
        shown = to_celery_error(changed, error)
        if not self._failures.record_attempt(failure, changed):
            return _ignore(f"{failure.field} was changed by an operator meanwhile")
        if changed.state is FailureState.DEAD:
            log.error("%s is dead after %d attempts: %s", failure.field, changed.attempts, changed.reason)
            return shown
        return _retry(str(shown), shown, changed.next_at_ms)


def _isolated(failure: Failure) -> IsolatedEvent:
    return IsolatedEvent(failure.event_id, failure.provider, failure.body, encode_context(failure.request))


def _ignore(why: str) -> Exception:
    """The exception that makes Celery ignore a message that came too late."""
    ignored: Exception = Ignore(why)
    return ignored


def _retry(message: str, error: Exception, due_ms: int) -> Exception:
    """The exception that makes Celery show RETRY. The timers send the next message, not Celery."""
    retry: Exception = Retry(message, exc=error, when=datetime.fromtimestamp(due_ms / 1000, UTC))
    retry.args = (message,)  # what Flower shows; by default they are the message, the error and the time
    retry.__cause__ = error
    return retry
