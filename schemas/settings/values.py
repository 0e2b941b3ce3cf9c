"""Parses the text of a setting. Each parser raises ValueError, which states what was expected and quotes no secret."""

import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from zoneinfo import ZoneInfo

from schemas.parsing.durations import read_duration, read_size
from schemas.settings.addresses import shown
from schemas.settings.secrets import exact_secret, login, secret, several, visible

MIN_SIGNING_KEY_CHARS = 32
_HOST = re.compile(r"[\w.:%-]+")
_ENTRY_POINT = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


def any_text(text: str) -> str:
    """The text, unchanged."""
    return text


def names(text: str) -> tuple[str, ...]:
    """Texts separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def modules(text: str) -> tuple[str, ...]:
    """Dotted names of modules."""
    found = names(text)
    if not all(part.isidentifier() for name in found for part in name.split(".")):
        raise ValueError("expected names of modules such as shop.loyalty, separated by commas")
    return found


def host(text: str) -> str:
    """An address or a name of this machine."""
    if not _HOST.fullmatch(text):
        raise ValueError("expected an address or a name of this machine, such as 127.0.0.1")
    return text


def networks(text: str) -> tuple[str, ...]:
    """IP addresses and networks."""
    for part in (found := names(text)):
        try:
            ipaddress.ip_network(part)
        except ValueError as error:
            expected = "expected addresses or networks such as 10.0.0.0/8, separated by commas"
            raise ValueError(f"{expected}; {shown(part)!r} is neither") from error
    return found


def signing_keys(text: str) -> tuple[str, ...]:
    """Signing keys of at least `MIN_SIGNING_KEY_CHARS` characters."""
    return several(text, lambda part: secret(part, MIN_SIGNING_KEY_CHARS, "every key"))


def logins(text: str) -> str:
    """Logins for Flower, which parses them itself: surrounding white space is refused."""
    if text and visible(text) != text:
        raise ValueError("white space is around it")
    if text:
        several(text, login)
    return text


def password(text: str) -> str:
    """A secret, or nothing."""
    return exact_secret(text) if text else ""


def whole(least: int, most: int) -> Callable[[str], int]:
    """A whole number within bounds."""

    def read(text: str) -> int:
        if not text.strip().isdecimal() or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(text)

    return read


def size(text: str) -> int:
    """A size in bytes, above zero."""
    if (size := read_size(text)) < 1:
        raise ValueError("expected at least one byte")
    return size


def span(text: str) -> timedelta:
    """A duration above zero."""
    if (span := read_duration(text)) <= timedelta(0):
        raise ValueError("expected a duration above zero")
    return span


def span_or_none(text: str) -> timedelta:
    """A duration, or 0."""
    return timedelta(0) if text.strip() == "0" else span(text)


def zone(text: str) -> ZoneInfo:
    """A time zone."""
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("expected a time zone such as UTC or Europe/Amsterdam") from error


def entry_points(text: str) -> tuple[str, ...]:
    """Names of objects in modules."""
    for part in (found := names(text)):
        if not _ENTRY_POINT.fullmatch(part):
            raise ValueError("expected package.module:Name, separated by commas")
    return found
