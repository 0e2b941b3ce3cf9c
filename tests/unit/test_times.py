"""Providers' times are read as UTC: every RFC 3339 form, and the store's time zone across daylight saving."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import received_at
from schemas.parsing.times import read_epoch_ms, read_time

NEW_YORK = ZoneInfo("America/New_York")
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


RFC_3339 = [
    ("2024-11-22T16:31:40Z", at(2024, 11, 22, 16, 31, 40)),
    ("2024-11-22t16:31:40z", at(2024, 11, 22, 16, 31, 40)),
    ("2024-11-22 16:31:40Z", at(2024, 11, 22, 16, 31, 40)),
    ("2024-11-22T16:31:40.5Z", at(2024, 11, 22, 16, 31, 40, 500000)),
    ("2024-11-22T16:31:40.123456789Z", at(2024, 11, 22, 16, 31, 40, 123456)),
    ("2024-11-22T16:31:40+00:00", at(2024, 11, 22, 16, 31, 40)),
    ("2024-11-22T16:31:40-00:00", at(2024, 11, 22, 16, 31, 40)),
    ("2024-11-22T16:31:40+05:45", at(2024, 11, 22, 10, 46, 40)),
    ("2024-11-22T16:31:40-23:59", at(2024, 11, 23, 16, 30, 40)),
    ("2024-11-22T16:31:40+23:59", at(2024, 11, 21, 16, 32, 40)),
    ("1990-12-31T23:59:60Z", at(1990, 12, 31, 23, 59, 59)),
    ("1990-12-31T15:59:60.25-08:00", at(1990, 12, 31, 23, 59, 59, 250000)),
    ("2024-02-29T00:00:00Z", at(2024, 2, 29)),
    ("0000-01-01T00:00:00Z", FIRST),
    ("0000-02-29T23:59:60.9z", FIRST),
    ("0001-01-01T00:00:00+00:01", FIRST),
    ("9999-12-31T23:59:59-00:01", LAST),
]


@pytest.mark.parametrize(("text", "time"), RFC_3339)
def test_every_form_of_rfc_3339_is_read(text: str, time: datetime) -> None:
    assert read_time(text, NEW_YORK) == time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-07-01 12:00:00", at(2024, 7, 1, 16)),
        ("2024-12-01 12:00:00", at(2024, 12, 1, 17)),
        ("2024-03-10 01:59:59", at(2024, 3, 10, 6, 59, 59)),
        ("2024-03-10 03:00:00", at(2024, 3, 10, 7)),
        ("2024-11-03 00:59:59", at(2024, 11, 3, 4, 59, 59)),
        ("2024-11-03 02:00:00", at(2024, 11, 3, 7)),
    ],
)
def test_a_time_without_a_zone_is_the_stores_own_in_summer_and_winter(text: str, time: datetime) -> None:
    assert read_time(text, NEW_YORK) == time


def test_an_ambiguous_hour_is_read_as_the_first() -> None:
    assert read_time("2024-11-03 01:30:00", NEW_YORK) == at(2024, 11, 3, 5, 30)


def test_an_hour_skipped_by_daylight_saving_is_read_with_the_old_offset() -> None:
    assert read_time("2024-03-10 02:30:00", NEW_YORK) == at(2024, 3, 10, 7, 30)


def test_the_ends_of_time_do_not_overflow_in_any_zone() -> None:
    assert read_time("0001-01-01 00:00:00", ZoneInfo("Asia/Tokyo")) == FIRST
    assert read_time("9999-12-31 23:59:59", NEW_YORK) == LAST


NO_TIMES = [
    "",
    "soon",
    "1e9",
    "11/22/2024 16:31",
    "24-11-22",
    "2024-13-01T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "2024-11-22T24:00:01Z",
]
NO_TIMES += ["2024-11-22T16:61:00Z", "2024-11-22T16:31:61Z", "2024-11-22T16:31:40+24:00", "2024-11-22T16:31:40 Europe/Paris"]
NO_TIMES += ["0000-13-01T00:00:00Z", "0000-", "99999-01-01T00:00:00Z", "２０２４-11-22T16:31:40Z", "\0"]


@pytest.mark.parametrize("text", NO_TIMES)
def test_other_texts_are_no_times(text: str) -> None:
    assert read_time(text, NEW_YORK) is None


@given(st.text(max_size=40) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}.{0,8}", fullmatch=True))
@settings(max_examples=200)
def test_property_any_text_is_a_time_in_utc_or_none(text: str) -> None:
    time = read_time(text, NEW_YORK)
    assert time is None or time.tzinfo is UTC


zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=zones))
@settings(max_examples=200)
def test_property_a_time_with_an_offset_survives_exactly(time: datetime) -> None:
    assert read_time(time.isoformat(), NEW_YORK) == time
    assert read_time(time.isoformat().lower(), NEW_YORK) == time


def test_milliseconds_are_exact_and_those_beyond_the_calendar_are_no_time() -> None:
    assert read_epoch_ms(1714050000123) == at(2024, 4, 25, 13, 0, 0, 123000)
    assert read_epoch_ms(253402300799999) == at(9999, 12, 31, 23, 59, 59, 999000)
    for beyond in (253402300800000, -62135596800001, 10**30, -(10**400)):
        assert read_epoch_ms(beyond) is None


@given(st.integers(0, 253402300799999), st.integers(0, 2**64 - 1))
@settings(max_examples=100)
def test_property_the_receive_time_is_the_stream_ids_to_the_millisecond(milliseconds: int, number: int) -> None:
    assert (received_at(f"{milliseconds}-{number}") - at(1970, 1, 1)) / timedelta(milliseconds=1) == milliseconds
