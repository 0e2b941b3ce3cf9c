"""A connection to Valkey for pipelines: one write for a group of commands, and as few wake-ups as possible for its replies.

redis-py opens the connection (address, TLS, password). From then on we read its transport, since redis-py awaits, times and
translates each reply by itself. If a release of redis-py has no such transport, `PlainPipeline` uses its public interface, at
twice the cost. After a failure a late reply cannot be matched to its command: close the connection and open another.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import hiredis
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, ConnectionPool

log = logging.getLogger("curbside.ingress")


_WORDS = {exceptions.ReadOnlyError: "READONLY", exceptions.OutOfMemoryError: "OOM"}
"""The codes of server errors that redis-py turns into exception types and drops from the text."""


async def open_pipeline(pool: ConnectionPool) -> "Pipeline | PlainPipeline":
    """Open a connection. Raises the errors of redis-py."""
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]
    transport = transport_of(connection)
    if transport is None:
        log.warning("this release of redis-py has no transport where it used to be: appending costs twice as much")
        return PlainPipeline(pool, connection)
    return Pipeline(pool, connection, transport)


def transport_of(connection: AbstractConnection) -> asyncio.Transport | None:
    """The connection's transport, if redis-py keeps it where its present releases do."""
    transport = getattr(getattr(connection, "_writer", None), "transport", None)
    return transport if hasattr(transport, "set_protocol") else None


class PlainPipeline:
    """A pipeline through redis-py's own interface. Exchanges one group at a time."""

    def __init__(self, pool: ConnectionPool, connection: AbstractConnection) -> None:
        self._pool, self._connection = pool, connection

    async def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """As `Pipeline.exchange`. Raises the errors of redis-py too."""
        await self._connection.send_packed_command(b"".join(commands), check_health=False)
        return [await self._reply() for _ in commands]

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.disconnect(nowait=True)
        await self._pool.release(self._connection)

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except exceptions.ResponseError as error:
            return hiredis.ReplyError(_WORDS.get(type(error), str(error)))


class Pipeline(asyncio.Protocol):
    """Exchanges one group at a time."""

    def __init__(self, pool: ConnectionPool, connection: AbstractConnection, transport: asyncio.Transport) -> None:
        self._pool, self._connection, self._transport = pool, connection, transport
        self._reader = hiredis.Reader()
        self._expected, self._replies = 0, list[Any]()
        self._done: asyncio.Future[list[Any]] | None = None
        self._lost: Exception | None = None
        transport.set_protocol(self)

    async def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """Send packed commands. Returns a reply, or a `hiredis.ReplyError`, for each. Raises `ConnectionError`."""
        if self._lost is not None:
            raise self._lost
        self._expected, self._replies = len(commands), []
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(b"".join(commands))
        return await self._done

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.disconnect(nowait=True)
        await self._pool.release(self._connection)

    def data_received(self, data: bytes) -> None:
        """Read the replies that have arrived. The last one ends the exchange."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._replies.append(reply)
        except hiredis.ProtocolError as error:
            self.connection_lost(error)
            return
        if len(self._replies) >= self._expected and self._done is not None and not self._done.done():
            self._done.set_result(self._replies)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the exchange under way, and any later one."""
        self._lost = ConnectionError("Valkey hung up")
        if self._done is not None and not self._done.done():
            self._done.set_exception(self._lost)
