"""Parses texts: those used as keys are checked; any other value that is no text is ignored."""

from typing import Any

from schemas.failures import DecodeError, Reason

MAX_KEY_CHARS = 255
"""The longest order id, line key, event id or event name: the ledger and Valkey use them as keys."""


def clean(text: str) -> str:
    """Replace NUL, which JSON allows and PostgreSQL does not, by U+FFFD."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def text_or_none(value: Any) -> str | None:
    """The value of a field that nothing depends on, if it is a text and not empty; else None."""
    if not value or not isinstance(value, str):
        return None
    return clean(value)


def key(text: str, path: str) -> str:
    """Check a text that names something, such as an order id; `path` is its place in the document."""
    if len(text) > MAX_KEY_CHARS:
        raise DecodeError(Reason.WRONG_TYPE, f"{path}: expected at most {MAX_KEY_CHARS} characters, got {len(text)}")
    return clean(text)
