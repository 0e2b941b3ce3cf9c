"""What all connections of one ingress share: how many there may be, how long each may wait, how much all of them may hold."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from ingress.deadlines import Deadlines
from ingress.memory_budget import MemoryBudget
from ingress.problems import CROWDED, Problem

HEAD_TIMEOUT_SECONDS = 10.0
"""From a connection's beginning, or a request's first byte, to the end of the headers."""
UNREAD_TIMEOUT_SECONDS = 10.0
"""How long a client may leave its answers unread, once they fill the buffers."""
BODY_TIMEOUT_SECONDS = 15.0
"""For what reads no body in time by itself: the applications' own limit is ten seconds."""
HEADS_BYTES = 16 << 20
"""Of all requests whose headers are not complete, or that came before the answer to the one in front of them."""


class Connection(Protocol):
    """One client's."""

    def __hash__(self) -> int:
        """By identity."""

    @property
    def transport(self) -> asyncio.Transport:
        """Its transport."""

    def expire(self) -> None:
        """What was awaited of it did not come in time."""


Pool = Deadlines[Connection]


class Connections:
    """The connections of an ingress. One per event loop. `refused` is told every problem that no application has seen."""

    def __init__(self, most: int, refused: Callable[[Problem], None]) -> None:
        self.most, self.refused = most, refused
        self.awaited: Deadlines[Connection] = Deadlines(HEAD_TIMEOUT_SECONDS, lambda each: each.expire())
        """Those of which the rest of a request is awaited, or a first one."""
        self.bodies: Deadlines[Connection] = Deadlines(BODY_TIMEOUT_SECONDS, lambda each: each.transport.abort())
        """Those of which the rest of a body is awaited, while an application has its head."""
        self.unread: Deadlines[Connection] = Deadlines(UNREAD_TIMEOUT_SECONDS, lambda each: each.transport.abort())
        """Those that do not read what they are answered."""
        self.idle: dict[Connection, None] = {}
        """Those between two requests, the one that has been so for the longest first."""
        self.memory: MemoryBudget[Connection] = MemoryBudget(HEADS_BYTES, lambda each: each.transport.abort())

    def move(self, connection: Connection, old: Pool | None, new: Pool | None) -> Pool | None:
        """It waits among others from now on; gives these."""
        if old is not None:
            old.end(connection)
        if new is not None:
            new.begin(connection)
        return new

    def make_room(self) -> bool:
        """Close the connection that has waited for the longest; False if all of them are being served."""
        self.refused(CROWDED)
        waiting = (self.awaited.oldest(), self.unread.oldest(), self.bodies.oldest(), next(iter(self.idle), None))
        victim = next((each for each in waiting if each is not None), None)
        if victim is None:
            return False
        self.forget(victim)
        victim.transport.abort()
        return True

    def forget(self, connection: Connection) -> None:
        """It has gone."""
        self.awaited.end(connection)
        self.bodies.end(connection)
        self.unread.end(connection)
        self.idle.pop(connection, None)
        self.memory.release(connection)
