"""Reading texts: the ones we use as keys are checked, the others are taken if they are texts and left if not."""

from typing import Any

from schemas.failures import DecodeError, Reason

MAX_KEY_CHARS = 255
"""The longest order id, line key, event id or event name we take: the ledger and Valkey look rows up by them."""


def clean(text: str) -> str:
    """Replace NUL, which JSON allows and PostgreSQL does not, by U+FFFD."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def text_or_none(value: Any) -> str | None:
    """Take a field that nothing depends on: the text if it is one and not empty, else None."""
    if not value or not isinstance(value, str):
        return None
    return clean(value)


def key(text: str, path: str) -> str:
    """Check a text that names something, such as an order id; `path` is its place in the document."""
    if len(text) > MAX_KEY_CHARS:
        raise DecodeError(Reason.WRONG_TYPE, f"{path}: expected at most {MAX_KEY_CHARS} characters, got {len(text)}")
    return clean(text)
