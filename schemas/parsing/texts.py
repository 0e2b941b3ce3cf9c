"""Reads texts: keys are checked, other fields are None unless they are texts."""

from typing import Any

from schemas.failures import DecodeError, Reason

MAX_KEY_CHARS = 255
"""The longest accepted order id, line key, event id or event name: the ledger and Valkey index them."""


def clean(text: str) -> str:
    """Replace NUL, which JSON allows and PostgreSQL does not, by U+FFFD."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def text_or_none(value: Any) -> str | None:
    """Read a lenient field: its text, or None if it is empty or not a text."""
    if not value or not isinstance(value, str):
        return None
    return clean(value)


def key(text: str, path: str) -> str:
    """Check a text that names something, such as an order id; `path` is its place in the document."""
    if len(text) > MAX_KEY_CHARS:
        raise DecodeError(Reason.WRONG_TYPE, f"{path}: expected at most {MAX_KEY_CHARS} characters, got {len(text)}")
    return clean(text)
