"""Parses the providers' times: RFC 3339, or `YYYY-MM-DD HH:MM:SS` in the store's time zone."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_LEAP_SECOND = re.compile(r"(:\d\d):60")


def read_time(text: str, zone: tzinfo) -> datetime | None:
    """Read a date and time as UTC; None if it is neither form.

    `zone` is where a time without an offset is read. RFC 3339 also allows lower-case `t` and `z`, a leap second (read as the
    second before it) and the year 0000 (read as the earliest time there is).
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time_or_none = _read_rare_form(text)
        if time_or_none is None:
            return None
        time = time_or_none
    if time.tzinfo is None:
        time = datetime.combine(time, time.time(), zone)  # a fifth of the cost of `replace`
    try:
        return time.astimezone(UTC)
    except OverflowError:
        return _EARLIEST if time.year == 1 else _LATEST


def read_epoch_ms(milliseconds: int) -> datetime | None:
    """Read milliseconds since the epoch as UTC; None beyond the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def _read_rare_form(text: str) -> datetime | None:
    text = _LEAP_SECOND.sub(r"\1:59", text.upper())
    try:
        if text.startswith("0000-"):
            datetime.fromisoformat(f"0004{text[4:]}")
            return _EARLIEST
        return datetime.fromisoformat(text)
    except ValueError:
        return None
