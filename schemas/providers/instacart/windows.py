"""Delivery windows and estimates. They may be nonsense: what is no time is None, and an end before its start is kept."""

from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any

from msgspec import Struct

from schemas.events import Window
from schemas.parsing.lenient import Lenient
from schemas.parsing.times import read_any_time
from schemas.parsing.values import object_of


class SentWindow(Struct, gc=False):
    """A delivery window as sent: `YYYY-MM-DD HH:MM:SS` without a zone, or RFC 3339."""

    starts_at: Lenient[str] = None
    ends_at: Lenient[str] = None


def estimate_of(value: Any, zone: tzinfo) -> datetime | None:
    """The time; None if the value names none."""
    return None if value is None else read_any_time(value, zone)


def window_of(value: Any, zone: tzinfo) -> Window | None:
    """The window; None if it names neither end, or has an end that cannot be read."""
    if value is None or not isinstance(value := object_of(value), dict):
        return None
    try:
        return _read_window(value.get("starts_at"), value.get("ends_at"), zone)
    except TypeError:  # one of them is an object or a list
        return None


@lru_cache(4096)
def _read_window(starts_at: Any, ends_at: Any, zone: tzinfo) -> Window | None:
    """Parse the times of a window. Cached: a store has a few windows a day, and most callbacks of its orders repeat them."""
    window = Window(estimate_of(starts_at, zone), estimate_of(ends_at, zone))
    if window.ends_at is None and ends_at not in (None, ""):
        return None  # its start is no estimate of its end
    return window if window.starts_at or window.ends_at else None


def promise_of(window: Window | None) -> datetime | None:
    """By when a delivery in this window is promised."""
    return (window.ends_at or window.starts_at) if window else None
