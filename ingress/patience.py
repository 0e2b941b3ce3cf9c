"""Gives up on requests whose body does not arrive in time.

One timer for all, set for the oldest: a timer for each request, set and cancelled, would cost a tenth of it.
"""

import asyncio
from typing import cast

BODY_TIMEOUT_SECONDS = 10.0
"""From the end of the headers to the end of the body, however slowly it drips in."""

Waiting = asyncio.Task[None]


class Patience:
    """Cancels the task of a request that has waited too long. One per event loop."""

    def __init__(self) -> None:
        self._deadlines: dict[Waiting, float] = {}  # in the order of deadlines: the span is the same for all
        self._late: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Waiting:
        """The current task waits from now on, until `end`."""
        loop = asyncio.get_running_loop()
        task = cast("Waiting", asyncio.current_task(loop))
        deadline = self._deadlines[task] = loop.time() + BODY_TIMEOUT_SECONDS
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._look)
        return task

    def end(self, task: Waiting) -> None:
        """It waits no longer."""
        self._deadlines.pop(task, None)

    def was_late(self, task: Waiting) -> bool:
        """Whether it was us who cancelled it, and nobody else; asked once."""
        is_ours = task in self._late
        self._late.discard(task)
        return is_ours and task.uncancel() == 0

    def _look(self) -> None:
        """Cancel whoever is late, and look again when the next one would be."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._deadlines:
            task, deadline = next(iter(self._deadlines.items()))
            if deadline > loop.time():
                self._timer = loop.call_at(deadline, self._look)
                return
            del self._deadlines[task]
            self._late.add(task)
            task.cancel()
