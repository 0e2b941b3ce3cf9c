"""What a failed try means for an event: why it failed, whether and when it is tried again. Pure."""

import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import msgspec
from celery.utils.time import get_exponential_backoff_interval
from sqlalchemy.exc import SQLAlchemyError

from schemas.failures import Failure, FailureState, Reason, Reject, Undecodable

_ERROR_LINE = re.compile(r"^([A-Za-z_][\w.]*)(?::.*)?$")
"""The line of a traceback that names the error: `module.Error: text`."""

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
"""Where minutes count: dead, and so before a person's eyes, within about a minute."""
PATIENT = RetryPolicy(attempts=8, first=timedelta(seconds=5), longest=timedelta(minutes=10))
"""Bookkeeping: dead after about a quarter of an hour."""
NEVER = RetryPolicy(attempts=1, first=timedelta(0), longest=timedelta(0))
"""What cannot succeed before a new release: undecodable bodies."""


class EventFailed(Exception):  # noqa: N818 - what Flower and the log show
    """What Celery is told of a failure: its kind and where to read more, with the frames of the error but not its text.

    A handler's error may quote personal data. The record has all of it: `curbside failed show`.
    """


def blamed(failure: Failure, error: Exception) -> EventFailed:
    """The error as Celery may show it."""
    said = f": {error}" if isinstance(error, Reject | Undecodable) else ""
    shown = EventFailed(f"{failure.reason}: {type(error).__name__}{said} (curbside failed show {failure.field})")
    return shown.with_traceback(error.__traceback__)


def reason_of(error: Exception) -> Reason:
    """The named reason of an error that is an event's fault."""
    if isinstance(error, Undecodable):
        return error.reason
    if isinstance(error, Reject):
        return Reason.REJECTED
    return Reason.LEDGER_REFUSED if isinstance(error, SQLAlchemyError) else Reason.HANDLER_ERROR


def after_try(failure: Failure, error: Exception, policy: RetryPolicy, now_ms: int, jitter: Jitter) -> Failure:
    """The record after one more failed try: when it is tried next, or that it is dead."""
    attempts = failure.attempts + 1
    is_final = isinstance(error, Reject | Undecodable)
    dead = is_final or attempts >= policy.attempts
    return msgspec.structs.replace(
        failure,
        attempts=attempts,
        reason=reason_of(error),
        message=str(error) if is_final else f"{type(error).__name__}: {error}",
        traceback=None if isinstance(error, Undecodable) else "".join(traceback.format_exception(error)),
        first_at_ms=failure.first_at_ms or now_ms,
        last_at_ms=now_ms,
        state=FailureState.DEAD if dead else FailureState.RETRYING,
        next_at_ms=0 if dead else now_ms + pause_ms(policy, attempts, jitter),
    )


def pause_ms(policy: RetryPolicy, attempts: int, jitter: Jitter) -> int:
    """How long to wait after so many tries."""
    factor, longest = policy.first.total_seconds(), policy.longest.total_seconds()
    seconds = min(longest, factor * get_exponential_backoff_interval(1, attempts - 1, 1 << 30, full_jitter=False))
    return int(1000 * seconds * jitter(0.5, 1.0))


class Scrubbed(NamedTuple):
    """What may be shown of a failure to whoever may not see personal data."""

    message: str
    traceback: str | None


def scrubbed(failure: Failure) -> Scrubbed:
    """Message and traceback without what an error's text may quote: frames and types stay.

    Texts of `Reject` and of undecodable bodies are ours or the handler's author's, made to be shown.
    """
    ours = failure.reason not in (Reason.HANDLER_ERROR, Reason.LEDGER_REFUSED)
    message = failure.message if ours else f"{failure.message.partition(':')[0]}: (--unmask shows its text)"
    if failure.traceback is None or ours:
        return Scrubbed(message, failure.traceback)
    return Scrubbed(message, "\n".join(_frames(failure.traceback.splitlines())))


def _frames(lines: list[str]) -> Iterator[str]:
    """The lines that Python wrote, and of a line with an error's text its type. Code is only what follows its file's line."""
    of_frame = 0
    for line in lines:
        of_frame = _LINES_OF_FRAME if line.startswith("  File ") else of_frame - 1
        error = _ERROR_LINE.match(line)
        if of_frame == _LINES_OF_FRAME or (of_frame > 0 and line.startswith("    ")) or line.startswith(_BETWEEN_FRAMES):
            yield line
        elif error is not None:
            yield error[1]


_LINES_OF_FRAME = 3
"""File, code, and the carets under it."""
_BETWEEN_FRAMES = ("Traceback ", "During handling of the above", "The above exception was")
