"""A connection to Valkey for pipelines: one write for a group of commands, and replies read out of as few wake-ups as they come in.

redis-py opens it (address, TLS, password); from then on we read its transport, since redis-py awaits, times and translates each
reply by itself. After a failure nobody can tell whose a late reply is: close it, and open another.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool


class Pipeline(asyncio.Protocol):
    """Exchanges one group at a time."""

    def __init__(self, pool: ConnectionPool, connection: AbstractConnection) -> None:
        self._pool, self._connection = pool, connection
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport = connection._writer.transport  # type: ignore[assignment, union-attr]
        self._expected, self._replies = 0, list[Any]()
        self._done: asyncio.Future[list[Any]] | None = None
        self._lost: Exception | None = None

    @classmethod
    async def open(cls, pool: ConnectionPool) -> Self:
        """Connect. Raises the errors of redis-py."""
        pipeline = cls(pool, await pool.get_connection())  # type: ignore[no-untyped-call]
        pipeline._transport.set_protocol(pipeline)
        return pipeline

    async def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """Send packed commands; gives a reply, or `hiredis.ReplyError`, for each. Raises `ConnectionError`."""
        if self._lost is not None:
            raise self._lost
        self._expected, self._replies = len(commands), []
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(b"".join(commands))
        return await self._done

    async def close(self) -> None:
        """Hang up."""
        await self._connection.disconnect(nowait=True)
        await self._pool.release(self._connection)

    def data_received(self, data: bytes) -> None:
        """Take the replies that have come in; the last one ends the exchange."""
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
