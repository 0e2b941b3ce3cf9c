"""Whether and when a failed event is tried again: the policies, and the record of a failure after one more attempt. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from celery.utils.time import get_exponential_backoff_interval

from schemas.failures import DecodeError, Failure, FailureState
from workers.errors import PermanentError
from workers.failures.error_report import describe

Jitter = Callable[[float, float], float]
"""A number between two, by chance: `random.uniform`."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often a failed event is tried at a handler (the batch counts as the first try), and how long between the tries.

    The pause doubles from `first` to `longest`; up to half of it is taken off by chance.
    """

    attempts: int
    first: timedelta
    longest: timedelta


URGENT = RetryPolicy(attempts=6, first=timedelta(seconds=1), longest=timedelta(seconds=30))
"""Where minutes count: dead, and so before a person's eyes, within half a minute."""
PATIENT = RetryPolicy(attempts=8, first=timedelta(seconds=5), longest=timedelta(minutes=10))
"""Bookkeeping: dead after five to eleven minutes."""
NO_RETRY = RetryPolicy(attempts=1, first=timedelta(0), longest=timedelta(0))
"""What cannot succeed before a new release: undecodable bodies."""
OUTAGE = RetryPolicy(attempts=0, first=timedelta(seconds=1), longest=timedelta(seconds=30))
"""The pauses while the world is away. Those tries are not counted."""


def backoff_ms(policy: RetryPolicy, attempts: int, jitter: Jitter) -> int:
    """How long to wait after so many tries."""
    factor, longest = policy.first.total_seconds(), policy.longest.total_seconds()
    seconds = min(longest, factor * get_exponential_backoff_interval(1, attempts - 1, 1 << 30, full_jitter=False))
    return int(1000 * seconds * jitter(0.5, 1.0))


def after_attempt(failure: Failure, error: Exception, policy: RetryPolicy, now_ms: int, jitter: Jitter) -> Failure:
    """The record after one more failed try: when it is tried next, or that it is dead."""
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


def after_outage(failure: Failure, now_ms: int, jitter: Jitter) -> Failure:
    """The record after a try that the world spoiled: no attempt is counted, and the next is later than this one was."""
    away = failure.away + 1
    return msgspec.structs.replace(failure, away=away, next_at_ms=now_ms + backoff_ms(OUTAGE, away, jitter))
