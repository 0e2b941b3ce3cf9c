"""A connection to Valkey for pipelines: one write for a group of commands, and as few wake-ups as possible for its replies.

redis-py opens the connection (address, TLS, password). From then on we read its transport, since redis-py awaits, times and
translates each reply by itself. If a release of redis-py has no such transport, `PlainPipeline` uses its public interface, at
twice the cost. After a failure a late reply cannot be matched to its command: close the connection and open another. What was
replied until then is kept: it is the caller's list.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import hiredis
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, ConnectionPool

from ingress.unavailability import code_of

log = logging.getLogger("curbside.ingress")


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


class HungUpError(ConnectionError):
    """Valkey closed the connection. What was sent and not replied to may have been executed, or not."""


class PlainPipeline:
    """A pipeline through redis-py's own interface. Exchanges one group at a time."""

    def __init__(self, pool: ConnectionPool, connection: AbstractConnection) -> None:
        self._pool, self._connection = pool, connection

    async def exchange(self, commands: Sequence[bytes], replies: list[Any]) -> None:
        """As `Pipeline.exchange`. Raises redis-py's `TimeoutError` too."""
        try:
            await self._connection.send_packed_command(b"".join(commands), check_health=False)
            for _ in commands:
                replies.append(await self._reply())
        except exceptions.ConnectionError as error:
            raise HungUpError("Valkey hung up") from error

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.disconnect(nowait=True)
        await self._pool.release(self._connection)

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except exceptions.ResponseError as error:
            text, code = str(error), code_of(error)
            return hiredis.ReplyError(text if text.startswith(code) else f"{code} {text}")


class Pipeline(asyncio.Protocol):
    """Exchanges one group at a time."""

    def __init__(self, pool: ConnectionPool, connection: AbstractConnection, transport: asyncio.Transport) -> None:
        self._pool, self._connection, self._transport = pool, connection, transport
        self._reader = hiredis.Reader()
        self._expected, self._replies = 0, list[Any]()
        self._done: asyncio.Future[None] | None = None
        self._is_lost = False
        transport.set_protocol(self)

    async def exchange(self, commands: Sequence[bytes], replies: list[Any]) -> None:
        """Send packed commands. Adds a reply, or a `hiredis.ReplyError`, for each to `replies`. Raises `HungUpError`.

        Whatever ends it early, a cancellation too: `replies` then has those that had come.
        """
        if self._is_lost:
            raise HungUpError("Valkey hung up")
        self._expected, self._replies = len(replies) + len(commands), replies
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(b"".join(commands))
        try:
            await self._done
        finally:
            self._replies = []  # what comes late is nobody's

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
            self._done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the exchange under way, and any later one."""
        self._is_lost = True
        if self._done is not None and not self._done.done():
            self._done.set_exception(HungUpError("Valkey hung up"))


def packed(*parts: bytes) -> bytes:
    """A command in Valkey's wire format."""
    return b"*%d\r\n%b" % (len(parts), b"".join(map(packed_part, parts)))


def packed_part(part: bytes) -> bytes:
    """One part of a command in Valkey's wire format."""
    return b"$%d\r\n%b\r\n" % (len(part), part)
