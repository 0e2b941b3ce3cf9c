"""Waits for a condition, with a time limit. Tests never sleep for time to pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_POLL_SECONDS = 0.01
_SLOW_MACHINE_FACTOR = 4
"""Limits are stated for an idle machine. A busy one may take this many times as long."""

T = TypeVar("T")


def wait_for(condition: Callable[[], T], timeout_seconds: float = 10.0, what: str = "the condition") -> T:
    """Call `condition` until it returns a true value, and return that. Fail with `what` and the last value at the limit."""
    limit_seconds = _SLOW_MACHINE_FACTOR * timeout_seconds
    deadline = time.monotonic() + limit_seconds
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(_failure_text(what, limit_seconds, value))
        time.sleep(_POLL_SECONDS)
    return value


async def wait_for_async(
    condition: Callable[[], Awaitable[T]], timeout_seconds: float = 10.0, what: str = "the condition"
) -> T:
    """`wait_for` for a coroutine function. The event loop is free between two calls."""
    limit_seconds = _SLOW_MACHINE_FACTOR * timeout_seconds
    deadline = time.monotonic() + limit_seconds
    while not (value := await condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(_failure_text(what, limit_seconds, value))
        await asyncio.sleep(_POLL_SECONDS)
    return value


def _failure_text(what: str, limit_seconds: float, value: object) -> str:
    return f"waited {limit_seconds:g} s in vain for: {what}; the last value was {value!r}"
