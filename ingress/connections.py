"""State that all connections of one ingress share: their number, their deadlines and their memory budget."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from ingress.deadlines import Deadlines
from ingress.memory_budget import MemoryBudget
from ingress.problems import CROWDED, Problem

HEAD_TIMEOUT_SECONDS = 10.0
"""From the start of a connection, or the first byte of a request, to the end of the headers."""
UNREAD_TIMEOUT_SECONDS = 10.0
"""How long a client may leave its answers unread once they fill the buffers."""
BODY_TIMEOUT_SECONDS = 15.0
"""For applications that do not limit the time of a body. `BodyReader` does, at ten seconds."""
HEADS_BYTES = 16 << 20
"""Limit on all requests with incomplete headers, and on pipelined requests that wait for the previous answer."""


class Connection(Protocol):
    """One client connection."""

    def __hash__(self) -> int:
        """Hash by identity."""

    @property
    def transport(self) -> asyncio.Transport:
        """Its transport."""

    def expire(self) -> None:
        """Close the connection: the awaited request did not arrive in time."""


Pool = Deadlines[Connection]


class Connections:
    """The connections of an ingress. One per event loop. `refused` is called for problems that no application sees."""

    def __init__(self, most: int, refused: Callable[[Problem], None]) -> None:
        self.most, self.refused = most, refused
        self.awaited: Deadlines[Connection] = Deadlines(HEAD_TIMEOUT_SECONDS, lambda each: each.expire())
        """Connections that wait for a first request, or for the rest of a head."""
        self.bodies: Deadlines[Connection] = Deadlines(BODY_TIMEOUT_SECONDS, lambda each: each.transport.abort())
        """Connections that wait for the rest of a body, while the application has its head."""
        self.unread: Deadlines[Connection] = Deadlines(UNREAD_TIMEOUT_SECONDS, lambda each: each.transport.abort())
        """Connections whose client does not read its answers."""
        self.idle: dict[Connection, None] = {}
        """Idle connections between two requests, the longest idle first."""
        self.memory: MemoryBudget[Connection] = MemoryBudget(HEADS_BYTES, lambda each: each.transport.abort())

    def move(self, connection: Connection, old: Pool | None, new: Pool | None) -> Pool | None:
        """Move a connection to the deadlines of `new`, and return `new`."""
        if old is not None:
            old.end(connection)
        if new is not None:
            new.begin(connection)
        return new

    def make_room(self) -> bool:
        """Close the connection that has waited longest. False if all connections are being served."""
        self.refused(CROWDED)
        waiting = (self.awaited.oldest(), self.unread.oldest(), self.bodies.oldest(), next(iter(self.idle), None))
        victim = next((each for each in waiting if each is not None), None)
        if victim is None:
            return False
        self.forget(victim)
        victim.transport.abort()
        return True

    def forget(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self.awaited.end(connection)
        self.bodies.end(connection)
        self.unread.end(connection)
        self.idle.pop(connection, None)
        self.memory.release(connection)
