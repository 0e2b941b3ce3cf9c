"""Limits that all connections of one ingress share: their number, how long each may wait, and how much memory they hold."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from ingress.body_budget import BodyBudget
from ingress.deadlines import Deadlines
from ingress.problems import CROWDED, Problem

HEAD_TIMEOUT_SECONDS = 10.0
"""From the start of a connection, or the first byte of a request, to the end of the headers."""
UNREAD_TIMEOUT_SECONDS = 10.0
"""How long a client may leave answers unread once they fill the buffers."""
BODY_TIMEOUT_SECONDS = 15.0
"""For applications without a limit of their own. The webhook's is ten seconds."""
HEADS_BYTES = 16 << 20
"""Memory for incomplete headers and for pipelined requests that wait for the answer before them."""


class Connection(Protocol):
    """The connection of one client."""

    def __hash__(self) -> int:
        """Hash by identity."""

    @property
    def transport(self) -> asyncio.Transport:
        """The connection's transport."""

    def expire(self) -> None:
        """Close the connection: what it was to send or read is overdue."""


Pool = Deadlines[Connection]


class Connections:
    """The connections of an ingress. One per event loop. `refused` is called for each problem that no application answers."""

    def __init__(self, most: int, refused: Callable[[Problem], None]) -> None:
        self.most, self.refused = most, refused
        self.awaited: Deadlines[Connection] = Deadlines(HEAD_TIMEOUT_SECONDS, lambda each: each.expire())
        """Connections that have not yet sent a complete head."""
        self.bodies: Deadlines[Connection] = Deadlines(BODY_TIMEOUT_SECONDS, lambda each: each.transport.abort())
        """Connections that have not yet sent a complete body, while the application has the head."""
        self.unread: Deadlines[Connection] = Deadlines(UNREAD_TIMEOUT_SECONDS, lambda each: each.transport.abort())
        """Connections that do not read their answers."""
        self.idle: dict[Connection, None] = {}
        """Connections between two requests, the longest idle first."""
        self.memory: BodyBudget[Connection] = BodyBudget(HEADS_BYTES, lambda each: each.transport.abort())

    def move(self, connection: Connection, old: Pool | None, new: Pool | None) -> Pool | None:
        """Put the connection into another pool, and return that pool."""
        if old is not None:
            old.end(connection)
        if new is not None:
            new.begin(connection)
        return new

    def make_room(self) -> bool:
        """Close the connection that has waited longest. False if all are being served."""
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
