"""Deadlines of many waiters, all with the same timeout, under one timer.

A timer per waiter would cost a tenth of a request.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter", bound=Hashable)


class Deadlines(Generic[Waiter]):
    """Calls `expire(waiter)` for each waiter after `seconds`. One per event loop."""

    def __init__(self, seconds: float, expire: Callable[[Waiter], None]) -> None:
        self._seconds, self._expire = seconds, expire
        self._at: dict[Waiter, float] = {}  # in the order of deadlines, since the timeout is the same for all
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, waiter: Waiter) -> None:
        """Start a waiter's deadline. A waiter that has one keeps it."""
        if waiter in self._at:
            return
        loop = asyncio.get_running_loop()
        deadline = self._at[waiter] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._expire_due)

    def end(self, waiter: Waiter) -> None:
        """Remove a waiter's deadline."""
        self._at.pop(waiter, None)

    def oldest(self) -> Waiter | None:
        """The waiter that has waited longest, if any."""
        return next(iter(self._at), None)

    def _expire_due(self) -> None:
        """Expire all overdue waiters, and set the timer for the next one."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while (waiter := self.oldest()) is not None:
            deadline = self._at[waiter]
            if deadline > loop.time():
                self._timer = loop.call_at(deadline, self._expire_due)
                return
            del self._at[waiter]
            self._expire(waiter)
