"""Waiting for a condition, with a limit: tests never sleep for time to pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_POLL_SECONDS = 0.01
_PATIENCE = 4
"""Limits are those of an idle desk; a busy one may take this many times as long before a test fails for it."""

T = TypeVar("T")


def wait_for(condition: Callable[[], T], timeout_seconds: float = 10.0, what: str = "the condition") -> T:
    """Call `condition` until what it gives is true, and give that; fail saying `what` did not happen, and what was seen last."""
    limit_seconds = _PATIENCE * timeout_seconds
    deadline = time.monotonic() + limit_seconds
    while not (seen := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(_complaint(what, limit_seconds, seen))
        time.sleep(_POLL_SECONDS)
    return seen


async def wait_for_async(
    condition: Callable[[], Awaitable[T]], timeout_seconds: float = 10.0, what: str = "the condition"
) -> T:
    """`wait_for` for a coroutine function, leaving the event loop free between two looks."""
    limit_seconds = _PATIENCE * timeout_seconds
    deadline = time.monotonic() + limit_seconds
    while not (seen := await condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(_complaint(what, limit_seconds, seen))
        await asyncio.sleep(_POLL_SECONDS)
    return seen


def _complaint(what: str, limit_seconds: float, seen: object) -> str:
    return f"waited {limit_seconds:g} s in vain for: {what}; the last look gave {seen!r}"
