"""Parses texts: those used as keys are checked; any other value that is no text is ignored."""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from schemas.events import Kind, Unreadable
from schemas.failures import DecodeError, Reason
from schemas.parsing.values import id_of, json_type

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


def free_keys(key: str, taken: set[str]) -> Iterator[str]:
    """Without end: the key with `#2`, `#3` …, as far as that is not taken. Each is taken then."""
    for number in count(2):
        suffix = f"#{number}"
        free = key[: MAX_KEY_CHARS - len(suffix)] + suffix
        if free not in taken:
            taken.add(free)
            yield free


def unusual_name(value: Any, path: str, kinds: Mapping[str, Kind]) -> tuple[str, Kind]:
    """The name of an event that is no key of `kinds` as it stands, and its kind. White space around a name counts for nothing.

    Raises `DecodeError`.
    """
    if type(value) is not str:
        raise DecodeError(Reason.WRONG_TYPE, f"{path}: expected string, got {json_type(value)}")
    return key(value, path), kinds.get(value.strip(), Kind.UNRECOGNISED)


def event_key(value: Any, path: str, odd: list[Unreadable]) -> str | None:
    """The provider's id of an event. None if it has none, or one that cannot be one: that is added to `odd`."""
    if value is None or value == "":
        return None
    found = id_of(value)
    if found is not None and len(found) <= MAX_KEY_CHARS:
        return clean(found)
    problem = (
        f"expected string, got {json_type(value)}"
        if found is None
        else f"expected at most {MAX_KEY_CHARS} characters, got {len(found)}"
    )
    odd.append(Unreadable(path, problem, json_type(value)))
    return None
