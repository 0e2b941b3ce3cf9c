"""Log records that stay on one line and cannot control a terminal, whichever library writes them and in whatever format.

The text is sanitized when a record is made. So the handlers of Celery, uvicorn, Flower and the user need no special formatter.
"""

import logging
import traceback

from schemas.sanitizing import sanitize, sanitize_lines

_INDENT = "    "
_QUIET = ("apprise", "httpcore", "httpx", "urllib3")
"""Libraries that log the addresses they call below WARNING. The address of an alert channel is a secret."""


class Record(logging.LogRecord):
    """A record whose message is one line. Its traceback is indented, so that no line of it looks like a record."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # whatever logging hands over
        if self.exc_info and self.exc_info[1] is not None:
            self.exc_text = _inset("".join(traceback.format_exception(*self.exc_info)))
        if self.stack_info:
            self.stack_info = _inset(self.stack_info)

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        """The sanitized message."""
        return sanitize(super().getMessage().rstrip("\n"))


def sanitize_logs() -> None:
    """Make every later log record a `Record`, and silence libraries that would log secret addresses. May be called again."""
    logging.setLogRecordFactory(Record)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _inset(text: str) -> str:
    return "\n".join(_INDENT + line for line in sanitize_lines(text).rstrip("\n").split("\n"))
