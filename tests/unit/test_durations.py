"""Durations and sizes: accepted spellings, and a hint for any other text."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.parsing.durations import duration_text, milliseconds, read_duration, read_size


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("30s", timedelta(seconds=30)),
        ("30", timedelta(seconds=30)),
        ("1.5", timedelta(seconds=1.5)),
        ("15m", timedelta(minutes=15)),
        ("72h", timedelta(days=3)),
        ("0.5 h", timedelta(minutes=30)),
        (" 7d\n", timedelta(days=7)),
        ("0", timedelta(0)),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, span: timedelta) -> None:
    assert read_duration(text) == span


@pytest.mark.parametrize("text", ["", "h", "-5s", "+5s", "5 weeks", "5H", "1h30m", "1e3", ".5s", "5.s", "inf", "nan", "1_000"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 30s, 15m, 72h or 7d"):
        read_duration(text)


@pytest.mark.parametrize("text", ["99999999999d", "9" * 400, "9" * 5000 + "ms"])
def test_a_duration_beyond_the_calendar_is_refused_like_any_other(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        read_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("65536", 65536), ("1B", 1), ("64KiB", 65536), ("1 MiB", 1 << 20), ("2GiB", 2 << 30), (" 7 ", 7)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5MiB", "1MB", "1kib", "1e6", "9" * 5000])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size in bytes such as 65536, 64KiB or 1MiB"):
        read_size(text)


@given(st.integers(0, 10**9), st.sampled_from([("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]))
@settings(max_examples=100)
def test_property_a_whole_span_is_exact_to_the_millisecond(count: int, unit: tuple[str, int]) -> None:
    assert milliseconds(read_duration(f"{count}{unit[0]}")) == count * unit[1]


@given(st.text(max_size=12))
@settings(max_examples=100)
def test_property_any_text_is_read_or_refused(text: str) -> None:
    for read in (read_duration, read_size):
        try:
            read(text)
        except ValueError as error:
            hint = str(error)
        else:
            hint = "expected"
        assert hint.startswith("expected")


@pytest.mark.parametrize("text", ["1ms", "1500ms", "90s", "90m", "2h", "7d"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    assert duration_text(read_duration(text)) == text
