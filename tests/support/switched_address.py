"""An address that leads to a server and may be switched to another, as a load balancer does in a failover."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tests.support.settings import LOOPBACK
from tests.support.waiting import wait_for

_CHUNK_BYTES = 1 << 16
_START_SECONDS = 5.0


class SwitchedAddress:
    """Forwards connections to a port on loopback. Its methods may be called from any thread."""

    def __init__(self, target: int) -> None:
        self.target, self.port, self.connections = target, 0, 0
        """The port that new connections lead to; our own; how many there were."""
        self.passes = True
        """Whether bytes pass. While they do not, they wait in the kernel's buffers."""
        self.drops_replies = False
        """Whether what the server answers is thrown away."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """The address as a `REDIS_URL`."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        wait_for(lambda: self.port, _START_SECONDS, "the proxy to listen")

    def stop(self) -> None:
        """Close everything."""
        self.passes = True
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(_START_SECONDS)

    def cut(self) -> None:
        """Close all connections; later ones are forwarded."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(_START_SECONDS)

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _run(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._forward, LOOPBACK, 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            await self._stopped.wait()
            server.close()
            await self._cut()
            while self._writers:  # noqa: ASYNC110 - the connections end by themselves
                await asyncio.sleep(0.01)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self.target)
            self._writers.add(far_writer)
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer, is_reply=True))
            self._writers.discard(far_writer)
        writer.close()
        self._writers.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                while not self.passes:  # noqa: ASYNC110 - set by another thread
                    await asyncio.sleep(0.005)
                if not (is_reply and self.drops_replies):
                    writer.write(data)
                    await writer.drain()
        writer.close()


@contextlib.contextmanager
def proxied(target: int) -> Iterator[SwitchedAddress]:
    """A proxy that listens."""
    proxy = SwitchedAddress(target)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
