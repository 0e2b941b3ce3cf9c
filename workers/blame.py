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

_HEADER = "Traceback (most recent call last):"
_BETWEEN = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_FILE_LINE = re.compile(r'  File "[^"]*", line \d+, in \S+')
_ERROR_LINE = re.compile(r"([A-Za-z_][\w.<>]*)(?::|$)")
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
    """The error as Celery may show it; `failure` is the record after it. To be raised `from None`: what caused it may quote more."""
    return EventFailed(sentence_of(failure)).with_traceback(error.__traceback__)


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

    Texts of `Reject` and of undecodable bodies are ours or the handler's author's, made to be shown; not so what caused them.
    """
    message = failure.message if _is_ours(failure) else f"{_type_of(failure)}: (--unmask shows its text)"
    return Scrubbed(message, None if failure.traceback is None else "\n".join(_frames(failure.traceback)))


def sentence_of(failure: Failure) -> str:
    """What Flower and the log may say of a failure, in one line: why, and where to read more."""
    said = f": {failure.message}" if _is_ours(failure) else ""
    return f"{failure.reason}: {_type_of(failure)}{said} (curbside failed show {failure.field})"


def _is_ours(failure: Failure) -> bool:
    return failure.reason not in (Reason.HANDLER_ERROR, Reason.LEDGER_REFUSED)


def _type_of(failure: Failure) -> str:
    if _is_ours(failure):
        return (Reject if failure.reason is Reason.REJECTED else Undecodable).__name__
    return failure.message.partition(":")[0]


def _frames(formatted: str) -> Iterator[str]:
    """The lines that Python wrote, and of an error's line its type. Any line that may be of an error's text is left out.

    An error's text begins at the first line after a frame that is not indented, and ends where another traceback begins.
    """
    in_traceback = in_frame = False
    for line in formatted.split("\n"):
        if line == _HEADER or line in _BETWEEN:
            in_traceback, in_frame = line == _HEADER, False
            yield line
        elif in_traceback and line.startswith("  "):
            in_frame = _FILE_LINE.fullmatch(line) is not None or (in_frame and line.startswith("    "))
            if in_frame:
                yield line
        elif in_traceback:
            in_traceback = False
            if error := _ERROR_LINE.match(line):
                yield error[1]
