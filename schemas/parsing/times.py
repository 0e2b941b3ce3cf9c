"""Parses the providers' times: RFC 3339, or `YYYY-MM-DD HH:MM:SS` in the store's time zone, and rarer forms of them."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from schemas.events import EARLIEST_YEAR, Unreadable
from schemas.parsing.rare_times import read_rare_time
from schemas.parsing.values import json_type

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNITS = ((10**11, 10**6), (10**14, 10**3), (10**17, 1))
"""Below which number of them a time counts in seconds, milliseconds or microseconds, and how many microseconds each has."""
_MAX_NUMBER = 10**20
_NUMBER = re.compile(r"\s*-?\d{1,20}(?:\.\d{0,20})?\s*", re.ASCII)
_DATE = len("20241122")
_DATE_CHARS = len(" 2024-11-22 ")
_DAY = re.compile(r"\s*\d{4}([-/.]?)\d\d\1\d\d\s*", re.ASCII)
_MARKLESS = re.compile(r"20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\d", re.ASCII)
"""A date and time without marks, as a number: as milliseconds it would lie in the 27th century."""


def read_time(text: str, zone: tzinfo) -> datetime | None:
    """Read a date and time as UTC; None if the text names none.

    `zone` is where a time without an offset is read. RFC 3339 also allows lower-case `t` and `z`, a leap second (read as the
    second before it) and the year 0000 (read as the earliest time there is). The rarer forms are those of
    `schemas.parsing.rare_times`, and the number of seconds, milli-, micro- or nanoseconds since 1970.
    """
    time: datetime | None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = _read_other(text)
    else:
        if time.tzinfo is None and text.isdecimal() and len(text) != _DATE:
            time = _read_other(text)  # Python reads some of them as a date and a time without marks
    if time is None:
        return None
    if time.tzinfo is None:
        time = datetime.combine(time, time.time(), zone)  # a fifth of the cost of `replace`
    try:
        return time.astimezone(UTC)
    except OverflowError:
        return _EARLIEST if time.year == 1 else _LATEST


def _read_other(text: str) -> datetime | None:
    time = read_rare_time(text)
    return read_epoch(Decimal(text)) if time is None and _NUMBER.fullmatch(text) else time


def time_of_event(value: Any, path: str, zone: tzinfo, odd: list[Unreadable]) -> datetime | None:
    """The time of an event. None if it names none, or none that anybody means: that is added to `odd`."""
    if value is None or value == "":
        return None
    time = read_time(value, zone) if type(value) is str and len(value) > _DATE_CHARS else read_any_time(value, zone)
    if time is None or time.year < EARLIEST_YEAR:
        note_no_time(value, path, odd)
        return None
    return time


def note_no_time(value: Any, path: str, odd: list[Unreadable]) -> None:
    """Add a value that is there and names no time to `odd`."""
    what = "other text" if type(value) is str else json_type(value)
    odd.append(Unreadable(path, f"expected a date and time (RFC 3339), got {what}", json_type(value)))


def read_any_time(value: Any, zone: tzinfo) -> datetime | None:
    """Read a time from a text or a number. None if it names none, only a day, or one of an age that nobody means."""
    if type(value) is int and _MARKLESS.fullmatch(text := str(value)):
        value = text
    if type(value) is not str:
        time = read_epoch(value)
    else:
        time = None if len(value) <= _DATE_CHARS and _DAY.fullmatch(value) else read_time(value, zone)
    return time if time is not None and time.year >= EARLIEST_YEAR else None


def read_epoch(value: Any) -> datetime | None:
    """Read seconds, milli-, micro- or nanoseconds since 1970 as UTC; their number (`int`, `Decimal`) tells which. Else None."""
    if type(value) is not int and not (type(value) is Decimal and value.is_finite()):
        return None
    number: Any = value
    size = abs(number)
    if size >= _MAX_NUMBER:
        return None
    microseconds = next((int(number * each) for below, each in _UNITS if size < below), None)
    try:
        return _EPOCH + (int(number // 1000) if microseconds is None else microseconds) * _MICROSECOND
    except OverflowError:
        return None


def read_epoch_ms(milliseconds: int) -> datetime | None:
    """Read milliseconds since the epoch as UTC; None beyond the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
