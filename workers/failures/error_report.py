"""Describes why an attempt failed, and builds the part of the error that may be shown. Pure.

The text of an error may quote personal data, and cannot be found reliably in a formatted traceback. The part that may be shown
is therefore built from the frames and the types of the error when it is caught.
"""

import traceback
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from schemas.failures import DecodeError, Failure, Reason
from schemas.sanitizing import sanitize
from workers.errors import DependencyUnavailableError, EventFailedError, KilledWorkerError, PermanentError, ReportedError

MAX_MESSAGE_CHARS = 2_000
MAX_TRACEBACK_CHARS = 20_000
"""Longer text loses its middle: a thousand failures must not fill Valkey."""
MAX_FRAMES = 60
MAX_CHAIN = 10


def to_celery_error(failure: Failure, error: Exception) -> EventFailedError:
    """The error as Celery may show it, with its causes but without their texts. `failure` is the record after the attempt.

    Raise it where no other error is being handled: Python would chain that error to it, with its text.
    """
    shown = EventFailedError(summary(failure)).with_traceback(error.__traceback__)
    shown.__cause__ = _stand_in(_cause_of(error), MAX_CHAIN)
    return shown


def _stand_in(error: BaseException | None, depth: int) -> EventFailedError | None:
    """A copy of an error without the text that may not be shown."""
    if error is None or depth == 0:
        return None
    shown = EventFailedError(_shown_name(error)).with_traceback(error.__traceback__)
    shown.__cause__ = _stand_in(_cause_of(error), depth - 1)
    return shown


def summary(failure: Failure) -> str:
    """One line for Flower and the log: the reason of a failure, and the command that shows more."""
    return f"{failure.reason}: {headline(failure)} (curbside failed show {failure.field})"


def headline(failure: Failure) -> str:
    """The type of the error, and its text if it may be shown, in one line."""
    return _type_of(failure) + (f": {sanitize(failure.message)}" if _may_show_text(failure) else "")


def reason_of(error: Exception) -> Reason:
    """The reason of an error that makes an event fail."""
    if isinstance(error, DecodeError):
        return error.reason
    if isinstance(error, ReportedError):
        return Reason(error.description["reason"])
    if isinstance(error, KilledWorkerError):
        return Reason.KILLED_WORKER
    if isinstance(error, PermanentError):
        return Reason.REJECTED
    return Reason.LEDGER_REFUSED if isinstance(error, SQLAlchemyError | DependencyUnavailableError) else Reason.HANDLER_ERROR


def is_known(failure: Failure, error: Exception) -> bool:
    """Whether the failure has this error already: the event was found to be at fault for it, since others worked."""
    text = f"{type(error).__name__}: {_text_of(error)}"
    return bool(failure.message) and failure.message.partition("\n")[0] == text.partition("\n")[0][:MAX_MESSAGE_CHARS]


def describe(error: Exception) -> dict[str, Any]:
    """The fields of a failure record that describe an error. Raises nothing for any error; the result can be stored."""
    if isinstance(error, ReportedError):
        return error.description | {"reason": reason_of(error)}
    may_show_text = isinstance(error, PermanentError | DecodeError)
    text = _text_of(error) if may_show_text else f"{type(error).__name__}: {_text_of(error)}"
    has_location = isinstance(error, DecodeError)  # its message names the location: frames would add nothing
    return {
        "reason": reason_of(error),
        "message": _storable(text, MAX_MESSAGE_CHARS),
        "traceback": None
        if has_location
        else _storable("".join(traceback.format_exception(error, limit=-MAX_FRAMES)), MAX_TRACEBACK_CHARS),
        "frames": None if has_location else _storable("".join(_frames(error, MAX_CHAIN)), MAX_TRACEBACK_CHARS),
    }


def _text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # the error's own __str__ may raise anything
        return "(no text: str() of it failed)"


def _storable(text: str, limit: int) -> str:
    """The text as valid UTF-8, cut in the middle to `limit` characters."""
    text = text.encode("utf-8", "backslashreplace").decode()
    left_out = len(text) - limit
    return text if left_out <= 0 else f"{text[: limit // 2]}\n… {left_out} characters left out …\n{text[-(limit // 2) :]}"


class Redacted(NamedTuple):
    """The part of a failure that contains no personal data."""

    message: str
    traceback: str | None


def redact(failure: Failure) -> Redacted:
    """The message and the traceback without the texts of errors: frames and types stay.

    The texts of `PermanentError` and `DecodeError` are written to be shown, and stay. The texts of their causes do not.
    """
    message = failure.message if _may_show_text(failure) else f"{_type_of(failure)}: (--unmask shows its text)"
    placeholder = "(--unmask shows it)" if failure.traceback is not None else None
    return Redacted(message, failure.frames or placeholder)


def _may_show_text(failure: Failure) -> bool:
    """Whether the text is one of ours. Of a reason that only a newer release knows, nobody here can tell."""
    return failure.reason in set(Reason) - {Reason.HANDLER_ERROR, Reason.LEDGER_REFUSED}


def _type_of(failure: Failure) -> str:
    if failure.reason not in set(Reason):
        return "(a reason of a newer release)"
    if failure.reason is Reason.KILLED_WORKER:
        return KilledWorkerError.__name__
    if _may_show_text(failure):
        return (PermanentError if failure.reason is Reason.REJECTED else DecodeError).__name__
    return failure.message.partition(":")[0]


def _frames(error: BaseException, depth: int) -> Iterator[str]:
    """A traceback in Python's format, with each error's type instead of its text."""
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
    """The type of an error (of a group, also its errors' types), and its text if it may be shown."""
    name = type(error).__qualname__
    if isinstance(error, ReportedError):
        return str(error.description["message"]).partition(":")[0]
    if isinstance(error, PermanentError | DecodeError):
        return f"{name}: {sanitize(_text_of(error))}"
    if isinstance(error, BaseExceptionGroup):
        return f"{name} of {', '.join(sorted({type(each).__qualname__ for each in error.exceptions}))}"
    return name


def _cause_of(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
