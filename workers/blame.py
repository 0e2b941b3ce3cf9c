"""What a failed try means for an event: why it failed, whether and when it is tried again, and what of it may be shown. Pure.

An error's own text may quote a customer, and nothing can tell where in a formatted traceback such a text begins and ends. So what may
be shown is built from the error itself, of its frames and types alone, at the moment it is caught.
"""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
from celery.utils.time import get_exponential_backoff_interval
from sqlalchemy.exc import SQLAlchemyError

from schemas.failures import Failure, FailureState, Reason, Reject, Undecodable
from schemas.harmless import harmless

MAX_MESSAGE_CHARS = 2_000
MAX_TRACEBACK_CHARS = 20_000
"""What is longer loses its middle: a thousand failures must not fill Valkey."""
MAX_FRAMES = 60
MAX_CHAIN = 10

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
NEVER = RetryPolicy(attempts=1, first=timedelta(0), longest=timedelta(0))
"""What cannot succeed before a new release: undecodable bodies."""
AWAY = RetryPolicy(attempts=0, first=timedelta(seconds=1), longest=timedelta(seconds=30))
"""The pauses while the world is away. Those tries are not counted."""


class EventFailed(Exception):  # noqa: N818 - what Flower and the log show
    """What Celery is told of a failure: its kind and where to read more, with the frames of the error but not its text.

    A handler's error may quote personal data. The record has all of it: `curbside failed show --unmask`.
    """


def blamed(failure: Failure, error: Exception) -> EventFailed:
    """The error as Celery may show it, its causes too; `failure` is the record after it.

    To be raised where no error is being handled: Python would tie that one to it, with its text.
    """
    shown = EventFailed(sentence_of(failure)).with_traceback(error.__traceback__)
    shown.__cause__ = _stand_in(_cause_of(error), MAX_CHAIN)
    return shown


def _stand_in(error: BaseException | None, depth: int) -> EventFailed | None:
    """An error without its text, for one whose text may not be shown."""
    if error is None or depth == 0:
        return None
    shown = EventFailed(_shown_name(error)).with_traceback(error.__traceback__)
    shown.__cause__ = _stand_in(_cause_of(error), depth - 1)
    return shown


def sentence_of(failure: Failure) -> str:
    """What Flower and the log may say of a failure, in one line: why, and where to read more."""
    return f"{failure.reason}: {reported(failure)} (curbside failed show {failure.field})"


def reported(failure: Failure) -> str:
    """The type of the error, and its text if that was made to be shown, in one line."""
    return _type_of(failure) + (f": {harmless(failure.message)}" if _is_ours(failure) else "")


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
    dead = isinstance(error, Reject | Undecodable) or attempts >= policy.attempts
    return msgspec.structs.replace(
        failure,
        **account_of(error),
        attempts=attempts,
        away=0,
        first_at_ms=failure.first_at_ms or now_ms,
        last_at_ms=now_ms,
        state=FailureState.DEAD if dead else FailureState.RETRYING,
        next_at_ms=0 if dead else now_ms + pause_ms(policy, attempts, jitter),
    )


def after_outage(failure: Failure, now_ms: int, jitter: Jitter) -> Failure:
    """The record after a try that the world spoiled: no attempt is counted, and the next is later than this one was."""
    away = failure.away + 1
    return msgspec.structs.replace(failure, away=away, next_at_ms=now_ms + pause_ms(AWAY, away, jitter))


def pause_ms(policy: RetryPolicy, attempts: int, jitter: Jitter) -> int:
    """How long to wait after so many tries."""
    factor, longest = policy.first.total_seconds(), policy.longest.total_seconds()
    seconds = min(longest, factor * get_exponential_backoff_interval(1, attempts - 1, 1 << 30, full_jitter=False))
    return int(1000 * seconds * jitter(0.5, 1.0))


def account_of(error: Exception) -> dict[str, Any]:
    """The fields of a record that say what went wrong. Whatever the error is, this raises nothing, and it can be stored."""
    is_ours = isinstance(error, Reject | Undecodable)
    text = _text_of(error) if is_ours else f"{type(error).__name__}: {_text_of(error)}"
    is_placed = isinstance(error, Undecodable)  # its message names the place: frames would add nothing
    return {
        "reason": reason_of(error),
        "message": _storable(text, MAX_MESSAGE_CHARS),
        "traceback": None
        if is_placed
        else _storable("".join(traceback.format_exception(error, limit=-MAX_FRAMES)), MAX_TRACEBACK_CHARS),
        "frames": None if is_placed else _storable("".join(_frames(error, MAX_CHAIN)), MAX_TRACEBACK_CHARS),
    }


def _text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # a foreign error's own code: it may raise anything
        return "(it has no text: making it failed)"


def _storable(text: str, most: int) -> str:
    """As UTF-8 can hold it, and no longer than that."""
    text = text.encode("utf-8", "backslashreplace").decode()
    left_out = len(text) - most
    return text if left_out <= 0 else f"{text[: most // 2]}\n… {left_out} characters left out …\n{text[-(most // 2) :]}"


class Scrubbed(NamedTuple):
    """What may be shown of a failure to whoever may not see personal data."""

    message: str
    traceback: str | None


def scrubbed(failure: Failure) -> Scrubbed:
    """Message and traceback without what an error's text may quote: frames and types stay.

    Texts of `Reject` and of undecodable bodies are ours or the handler's author's, made to be shown; not so what caused them.
    """
    message = failure.message if _is_ours(failure) else f"{_type_of(failure)}: (--unmask shows its text)"
    kept_elsewhere = "(--unmask shows it)" if failure.traceback is not None else None
    return Scrubbed(message, failure.frames or kept_elsewhere)


def _is_ours(failure: Failure) -> bool:
    return failure.reason not in (Reason.HANDLER_ERROR, Reason.LEDGER_REFUSED)


def _type_of(failure: Failure) -> str:
    if _is_ours(failure):
        return (Reject if failure.reason is Reason.REJECTED else Undecodable).__name__
    return failure.message.partition(":")[0]


def _frames(error: BaseException, depth: int) -> Iterator[str]:
    """A traceback as Python writes it, with each error's type where its text would be."""
    if (cause := _cause_of(error)) is not None and depth > 0:
        yield from _frames(cause, depth - 1)
        how = (
            "The above exception was the direct cause of"
            if error.__cause__
            else "During handling of the above exception, there was"
        )
        yield f"\n{how} the following exception:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__, -MAX_FRAMES)
    yield f"{_shown_name(error)}\n"


def _shown_name(error: BaseException) -> str:
    """The type of an error, of a group's errors too; the text only if it was made to be shown."""
    name = type(error).__qualname__
    if isinstance(error, Reject | Undecodable):
        return f"{name}: {harmless(_text_of(error))}"
    if isinstance(error, BaseExceptionGroup):
        return f"{name} of {', '.join(sorted({type(each).__qualname__ for each in error.exceptions}))}"
    return name


def _cause_of(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
