"""Parses durations and sizes as people write them: `72h`, `90s`, `1MiB`."""

import re
from datetime import timedelta

_SPAN = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$")
_SIZE = re.compile(r"^(\d{1,18})\s*(B|KiB|MiB|GiB)?$")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_UNITS_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def read_duration(text: str) -> timedelta:
    """Read `500ms`, `30s`, `15m`, `72h`, `7d`, or a number of seconds. Raises ValueError saying what was expected."""
    match = _SPAN.match(text.strip())
    if match is None:
        raise ValueError("expected a duration such as 30s, 15m, 72h or 7d")
    try:
        return timedelta(milliseconds=float(match[1]) * _UNITS_MS[match[2] or "s"])
    except OverflowError as error:
        raise ValueError("expected a duration such as 30s, 15m, 72h or 7d, got one beyond the calendar") from error


def duration_text(span: timedelta) -> str:
    """A duration as `read_duration` reads it, in the largest unit that divides it: `2h`, `90m`, `1500ms`."""
    whole = milliseconds(span)
    unit, size = next((name, size) for name, size in reversed(_UNITS_MS.items()) if whole % size == 0)
    return f"{whole // size}{unit}"


def read_size(text: str) -> int:
    """Read `65536`, `64KiB` or `1MiB` as bytes. Raises ValueError saying what was expected."""
    match = _SIZE.match(text.strip())
    if match is None:
        raise ValueError("expected a size in bytes such as 65536, 64KiB or 1MiB")
    return int(match[1]) * _UNITS_BYTES[match[2] or "B"]


def milliseconds(span: timedelta) -> int:
    """A span in whole milliseconds, as Valkey takes it."""
    return round(span / timedelta(milliseconds=1))
