"""Whether and when a failed event is retried: the policies, and the failure record after an attempt. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from celery.utils.time import get_exponential_backoff_interval

from schemas.failures import DecodeError, Failure, FailureState
from workers.errors import HeldUpError, PermanentError
from workers.failures.error_report import describe

Jitter = Callable[[float, float], float]
"""Returns a random number between two numbers, such as `random.uniform`."""


@dataclass(frozen=True)
class RetryPolicy:
    """The most attempts at an event in one handler (the batch is the first attempt), and the pauses between them.

    The pause doubles from `first` up to `longest`. Jitter shortens it by up to half.
    """

    attempts: int
    first: timedelta
    longest: timedelta


URGENT = RetryPolicy(attempts=6, first=timedelta(seconds=1), longest=timedelta(seconds=30))
"""For handlers whose events matter within minutes: a failure is dead, and visible as such, within half a minute."""
PATIENT = RetryPolicy(attempts=8, first=timedelta(seconds=5), longest=timedelta(minutes=10))
"""For all other handlers: a failure is dead after five to eleven minutes."""
NO_RETRY = RetryPolicy(attempts=1, first=timedelta(0), longest=timedelta(0))
"""For undecodable bodies, which only a new release can decode."""
OUTAGE = RetryPolicy(attempts=0, first=timedelta(seconds=1), longest=timedelta(seconds=30))
"""The pauses during a dependency outage, whose attempts are not counted."""

HELD_UP = RetryPolicy(attempts=0, first=timedelta(seconds=1), longest=timedelta(seconds=5))
"""The pauses while another transaction holds a lock."""


def backoff_ms(policy: RetryPolicy, attempts: int, jitter: Jitter) -> int:
    """The pause after this many attempts, in milliseconds."""
    factor, longest = policy.first.total_seconds(), policy.longest.total_seconds()
    seconds = min(longest, factor * get_exponential_backoff_interval(1, attempts - 1, 1 << 30, full_jitter=False))
    return int(1000 * seconds * jitter(0.5, 1.0))


def after_attempt(failure: Failure, error: Exception, policy: RetryPolicy, now_ms: int, jitter: Jitter) -> Failure:
    """The record after one more failed attempt: either with the time of the next attempt, or dead."""
    attempts = failure.attempts + 1
    dead = isinstance(error, PermanentError | DecodeError) or attempts >= policy.attempts
    return msgspec.structs.replace(
        failure,
        **describe(error),
        attempts=attempts,
        away=0,
        first_at_ms=failure.first_at_ms or now_ms,
        last_at_ms=now_ms,
        state=FailureState.DEAD if dead else FailureState.RETRYING,
        next_at_ms=0 if dead else now_ms + backoff_ms(policy, attempts, jitter),
    )


def after_outage(failure: Failure, now_ms: int, jitter: Jitter, error: Exception | None = None) -> Failure:
    """The record after an attempt that a dependency outage prevented: it counts no attempt, and the pause grows.

    A new record says why. One of an earlier failure keeps saying why that was.
    """
    outages = failure.away + 1
    policy = HELD_UP if isinstance(error, HeldUpError) else OUTAGE
    about = {} if failure.first_at_ms or error is None else {**describe(error), "first_at_ms": now_ms, "last_at_ms": now_ms}
    return msgspec.structs.replace(
        failure,
        **about,
        away=outages,
        state=FailureState.RETRYING,
        next_at_ms=now_ms + backoff_ms(policy, outages, jitter),
    )
