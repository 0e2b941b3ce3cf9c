"""The room that new events have in Valkey's memory, counted between two looks at it.

A second is long: an ingress may append hundreds of megabytes in it. So what it appends is subtracted, and Valkey is looked at again
when an eighth of the room is gone: up to eight ingresses then fill it together and do not overfill it.
"""

import asyncio
import contextlib

_PARTS = 8
_PAUSE_SECONDS = 0.02
"""The shortest time between two looks."""


class Room:
    """`left`: bytes that may still be appended; infinite if there is no limit, or it is not known. Who appends subtracts from it.

    `look_below`: once less than this is left, call `look_soon`.
    """

    def __init__(self) -> None:
        self.left, self.look_below = float("inf"), float("-inf")
        self._is_look_due = asyncio.Event()

    def set(self, n_bytes: float) -> None:
        """Valkey was looked at."""
        self.left, self.look_below = n_bytes, n_bytes - n_bytes / _PARTS if n_bytes < float("inf") else float("-inf")
        self._is_look_due.clear()

    def look_soon(self) -> None:
        """End the wait for the next look."""
        self._is_look_due.set()

    async def wait(self, period_seconds: float) -> None:
        """Wait until it is time to look again: for the period at the most."""
        await asyncio.sleep(min(_PAUSE_SECONDS, period_seconds))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(period_seconds):
                await self._is_look_due.wait()
