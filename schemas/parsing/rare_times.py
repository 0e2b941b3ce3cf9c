"""Parses rarer forms of a date and time: what programs write that do not keep to RFC 3339.

- ISO 8601 with slashes, spaces or a comma in it, with `24:00:00`, a leap second, the year 0000, or any fraction
- offsets such as `+01`, `+0100`, `UTC`, `GMT+1`, `EST`, and a zone's name in brackets behind them (`Z[UTC]`)
- RFC 2822, RFC 850, and what C and JavaScript print
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_ZONE = r"(?P<zone>[A-Za-z]{1,4})?\s*(?P<offset>[+-]\d{1,2}(?::?\d\d){0,2})?(?:\s*\[[\w/+-]{1,40}\])?(?:\s*\([\w /+-]{1,40}\))?"
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,40}))?)?\s*(?P<half>[AaPp][Mm](?![A-Za-z]))?"
_WEEKDAY = r"(?:[A-Za-z]{3,9},?\s+)?"
_FORMS = tuple(
    re.compile(form, re.ASCII)
    for form in (
        rf"(?P<year>\d{{4}})(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}})(?:(?:[Tt]|\s+|\s*,\s*){_CLOCK})?\s*{_ZONE}",
        rf"(?P<year>\d{{4}})(?P<month>\d\d)(?P<day>\d\d)(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)\s*{_ZONE}",
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})[\s-](?P<name>[A-Za-z]{{3}})[a-z]{{0,6}}[\s-](?P<year>\d{{4}}|\d\d)\s+{_CLOCK}\s*{_ZONE}",
        rf"{_WEEKDAY}(?P<name>[A-Za-z]{{3}})[a-z]{{0,6}}\s+(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}})\s+{_CLOCK}\s*{_ZONE}",
        rf"{_WEEKDAY}(?P<name>[A-Za-z]{{3}})\s+(?P<day>\d{{1,2}})\s+{_CLOCK}\s*{_ZONE}\s+(?P<year>\d{{4}})",
    )
)
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_HOURS = {
    "": 0, "Z": 0, "UTC": 0, "GMT": 0, "UT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "CET": 1, "CEST": 2, "WET": 0, "WEST": 1, "BST": 1,
}  # fmt: skip
"""Hours from UTC: the zones of RFC 2822, and those of the countries that Afosto serves."""
_CENTURY_OF_TWO_DIGITS = 50
_MAX_CHARS = 100


def read_rare_time(text: str) -> datetime | None:
    """Read a date and time, with an offset if the text names one; None if it is in none of these forms."""
    if len(text) > _MAX_CHARS:
        return None
    text = " ".join(text.split())
    for form in _FORMS:
        if match := form.fullmatch(text):
            try:
                return _time(match.groupdict())
            except (KeyError, ValueError, OverflowError):
                return None
    return None


def _time(parts: dict[str, str | None]) -> datetime:
    hour, second = _hour(int(parts.get("hour") or 0), parts.get("half")), int(parts.get("second") or 0)
    month = int(parts["month"] or 0) if "month" in parts else _MONTHS[(parts["name"] or "").lower()]
    minute, day, year = int(parts.get("minute") or 0), int(parts["day"] or 0), _year(parts["year"] or "")
    fraction = int((parts.get("fraction") or "")[:6].ljust(6, "0"))
    zone = _zone(parts.get("zone"), parts.get("offset"))
    if year == 0:
        datetime(4, month, day, hour, minute, min(second, 59), fraction, zone)  # a leap year, as the year 0 was
        return datetime.min.replace(tzinfo=UTC)
    if (hour, minute, second, fraction) == (24, 0, 0, 0):
        return datetime(year, month, day, tzinfo=zone) + timedelta(days=1)
    return datetime(year, month, day, hour, minute, 59 if second == 60 else second, fraction, zone)


def _year(digits: str) -> int:
    year = int(digits)
    if len(digits) == 4:
        return year
    return year + (2000 if year < _CENTURY_OF_TWO_DIGITS else 1900)


def _hour(hour: int, half: str | None) -> int:
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError("no hour of half a day")
    return hour % 12 + (12 if half.lower() == "pm" else 0)


def _zone(name: str | None, offset: str | None) -> tzinfo | None:
    if name is None and offset is None:
        return None
    try:
        hours = _HOURS[(name or "").upper()]
    except KeyError:
        raise ValueError("no zone") from None
    digits = (offset or "+0")[1:].replace(":", "")
    digits = digits.zfill(2) if len(digits) < 3 else digits.zfill(4)
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4] or 0), seconds=int(digits[4:6] or 0))
    if span >= timedelta(days=1):
        raise ValueError("no offset")
    span = -span if offset and offset[0] == "-" else span
    return timezone(timedelta(hours=hours) + span)
