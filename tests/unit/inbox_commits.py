"""An inbox whose writes to Valkey are counted, and concurrent appends to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio.connection import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ingress.acknowledged import Acknowledged
from ingress.body_reader import BodyReader
from ingress.inbox import Inbox
from tests.support.settings import NOBODY_LISTENS
from tests.unit.observed_transport import ObservedTransport

Answer = str | BaseException


def watch_writes(connection: Connection, told: Callable[[bytes], None]) -> None:
    """Report every write to the connection's socket."""
    writer = connection._writer
    assert writer is not None
    writer._transport = ObservedTransport(writer.transport, told)  # type: ignore[attr-defined]


@asynccontextmanager
async def an_inbox(url: str, timeout_seconds: float = 5.0) -> AsyncIterator[tuple[Inbox, list[int]]]:
    """An inbox, connected if possible, and a list of the sizes of its later writes."""
    writes: list[int] = []

    class Counting(Connection):
        async def _connect(self) -> None:
            await super()._connect()  # type: ignore[no-untyped-call]
            watch_writes(self, lambda data: writes.append(len(data)))

    pool = ConnectionPool.from_url(url, connection_class=Counting, protocol=2, retry=Retry(NoBackoff(), 0))
    inbox = Inbox(pool, BodyReader().memory, timeout_seconds, Acknowledged(10.0, 1 << 20))
    if url != NOBODY_LISTENS:
        await look(inbox)
        writes.clear()
    try:
        yield inbox, writes
    finally:
        await inbox.close()


async def look(inbox: Inbox) -> None:
    """Do what an ingress does once a second, and whatever follows from it."""
    inbox.tend()
    while inbox._committer is not None:
        await asyncio.wait([inbox._committer])


async def answers_of(inbox: Inbox, bodies: list[bytes]) -> list[Answer]:
    """Append these bodies concurrently. Return all answers."""
    return list(await asyncio.gather(*(inbox.append("instacart", body) for body in bodies), return_exceptions=True))


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 60))
