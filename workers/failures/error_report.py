"""Why an attempt failed, and what of the error may be shown. Pure.

An error's own text may quote a customer, and nothing can tell where in a formatted traceback such a text begins and ends. So what may
be shown is built from the error itself, of its frames and types alone, at the moment it is caught.
"""

import traceback
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from schemas.failures import DecodeError, Failure, Reason
from schemas.sanitizing import sanitize
from workers.errors import EventFailedError, PermanentError

MAX_MESSAGE_CHARS = 2_000
MAX_TRACEBACK_CHARS = 20_000
"""What is longer loses its middle: a thousand failures must not fill Valkey."""
MAX_FRAMES = 60
MAX_CHAIN = 10


def to_celery_error(failure: Failure, error: Exception) -> EventFailedError:
    """The error as Celery may show it, its causes too; `failure` is the record after it.

    To be raised where no error is being handled: Python would tie that one to it, with its text.
    """
    shown = EventFailedError(summary(failure)).with_traceback(error.__traceback__)
    shown.__cause__ = _stand_in(_cause_of(error), MAX_CHAIN)
    return shown


def _stand_in(error: BaseException | None, depth: int) -> EventFailedError | None:
    """An error without its text, for one whose text may not be shown."""
    if error is None or depth == 0:
        return None
    shown = EventFailedError(_shown_name(error)).with_traceback(error.__traceback__)
    shown.__cause__ = _stand_in(_cause_of(error), depth - 1)
    return shown


def summary(failure: Failure) -> str:
    """What Flower and the log may say of a failure, in one line: why, and where to read more."""
    return f"{failure.reason}: {headline(failure)} (curbside failed show {failure.field})"


def headline(failure: Failure) -> str:
    """The type of the error, and its text if that was made to be shown, in one line."""
    return _type_of(failure) + (f": {sanitize(failure.message)}" if _is_ours(failure) else "")


def reason_of(error: Exception) -> Reason:
    """The named reason of an error that is an event's fault."""
    if isinstance(error, DecodeError):
        return error.reason
    if isinstance(error, PermanentError):
        return Reason.REJECTED
    return Reason.LEDGER_REFUSED if isinstance(error, SQLAlchemyError) else Reason.HANDLER_ERROR


def describe(error: Exception) -> dict[str, Any]:
    """The fields of a record that say what went wrong. Whatever the error is, this raises nothing, and it can be stored."""
    is_ours = isinstance(error, PermanentError | DecodeError)
    text = _text_of(error) if is_ours else f"{type(error).__name__}: {_text_of(error)}"
    is_placed = isinstance(error, DecodeError)  # its message names the place: frames would add nothing
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

    Texts of `PermanentError` and of undecodable bodies are ours or the handler's author's, made to be shown; not so what caused them.
    """
    message = failure.message if _is_ours(failure) else f"{_type_of(failure)}: (--unmask shows its text)"
    kept_elsewhere = "(--unmask shows it)" if failure.traceback is not None else None
    return Scrubbed(message, failure.frames or kept_elsewhere)


def _is_ours(failure: Failure) -> bool:
    return failure.reason not in (Reason.HANDLER_ERROR, Reason.LEDGER_REFUSED)


def _type_of(failure: Failure) -> str:
    if _is_ours(failure):
        return (PermanentError if failure.reason is Reason.REJECTED else DecodeError).__name__
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
    if isinstance(error, PermanentError | DecodeError):
        return f"{name}: {sanitize(_text_of(error))}"
    if isinstance(error, BaseExceptionGroup):
        return f"{name} of {', '.join(sorted({type(each).__qualname__ for each in error.exceptions}))}"
    return name


def _cause_of(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
