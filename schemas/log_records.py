"""Every log line of a process, whoever writes it and in whatever format: it stays one line, and no text from outside commands a terminal.

It is done where a record is made, so that Celery's, uvicorn's and Flower's own handlers need no formatter of ours, nor do a user's.
"""

import logging
import traceback

from schemas.sanitizing import sanitize, sanitize_lines

_INDENT = "    "
_QUIET = ("apprise", "httpcore", "httpx", "urllib3")
"""Libraries that write below WARNING which address they call: the address of an alert channel is a secret."""


class Record(logging.LogRecord):
    """A record whose message is one line. Its traceback is set in, so that no line of it looks like a record."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # whatever logging hands over
        if self.exc_info and self.exc_info[1] is not None:
            self.exc_text = _inset("".join(traceback.format_exception(*self.exc_info)))
        if self.stack_info:
            self.stack_info = _inset(self.stack_info)

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        """The message, harmless."""
        return sanitize(super().getMessage().rstrip("\n"))


def sanitize_logs() -> None:
    """Make every record from now on a `Record`, and libraries that would write secret addresses quiet. May be called again."""
    logging.setLogRecordFactory(Record)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _inset(text: str) -> str:
    return "\n".join(_INDENT + line for line in sanitize_lines(text).rstrip("\n").split("\n"))
