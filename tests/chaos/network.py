"""The network between the processes and the servers: TCP proxies that delay, go silent, drop, truncate and cut.

A process of its own. Each link listens on a port and forwards to one server; the processes of one side share a link. Data are
forwarded in order, whatever the mode was when they came.
"""

import asyncio
import random
import sys
from collections import deque
from enum import StrEnum
from typing import Any, cast

import orjson
import uvloop

from tests.chaos.child import Answer, serve_commands

LOOPBACK = "127.0.0.1"
_TICK_SECONDS = 0.005
_TRUNCATED_SHARE = 0.02


class Mode(StrEnum):
    """What a link does."""

    OPEN = "open"
    DELAYED = "delayed"
    """Data arrive later by the given seconds."""
    SILENT = "silent"
    """Nothing arrives; what was sent meanwhile arrives afterwards."""
    DROPPED = "dropped"
    """Nothing arrives, and the connections of now stay without an answer for ever."""
    TRUNCATED = "truncated"
    """Now and then a reply breaks off in the middle, with its connection."""
    CUT = "cut"
    """All connections are reset, new ones refused."""


class _End(asyncio.Protocol):
    """One end of a connection: the process's, or the server's."""

    def __init__(self, link: "Link", peer: "_End | None" = None) -> None:
        self.link, self.peer, self.is_of_server = link, peer, peer is not None
        self.waiting = deque[tuple[float, bytes]]()
        self.transport: asyncio.Transport | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if not self.is_of_server:
            self.link.ends.add(self)
            self.link.connect(self)

    def data_received(self, data: bytes) -> None:
        self.link.forward(self, data)

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None
        if self.peer is not None and not self.is_lost:
            self.peer.finish()
        if not self.is_of_server:
            self.link.ends.discard(self)

    def finish(self) -> None:
        """Close after everything that was written."""
        if self.transport is not None:
            self.transport.close()

    def abort_own(self) -> None:
        """Reset this end's connection only."""
        if self.transport is not None:
            self.transport.abort()

    def abort(self) -> None:
        """Reset the connection at both ends."""
        self.abort_own()
        if self.peer is not None:
            self.peer.abort_own()


class Link:
    """One listening port and the server behind it: a port on loopback, or the path of a Unix socket."""

    def __init__(self, server: int | str) -> None:
        self._server, self._chance = server, random.Random(1)  # noqa: S311 - not for secrets
        self.mode, self.seconds, self.port = Mode.OPEN, 0.0, 0
        self.ends = set[_End]()
        self._lost = set[_End]()
        self._connecting = set[asyncio.Task[None]]()
        self._listener: asyncio.Server | None = None

    async def listen(self) -> None:
        """Listen, on the same port as before."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _End(self), LOOPBACK, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def change(self, mode: Mode, seconds: float) -> None:
        """Change what it does, from now on."""
        before, self.mode, self.seconds = self.mode, mode, seconds
        if mode is Mode.CUT:
            assert self._listener is not None
            self._listener.close()
            self._listener = None
            for end in list(self.ends):
                end.abort()
        elif before is Mode.CUT:
            await self.listen()
        if mode is Mode.DROPPED:
            for end in self.ends:
                end.is_lost = True
                if end.peer is not None:
                    end.peer.is_lost = True
        if before is Mode.DROPPED:  # the server's keepalive has noticed; the process still hears nothing
            for end in self.ends:
                if end.is_lost and end.peer is not None:
                    end.peer.abort_own()

    def connect(self, end: _End) -> None:
        """Connect to the server on behalf of a process."""
        end.is_lost = self.mode is Mode.DROPPED
        task = asyncio.get_running_loop().create_task(self._connect(end))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, end: _End) -> None:
        while self.mode in {Mode.SILENT, Mode.DROPPED}:  # noqa: ASYNC110 - the mode is set from anywhere
            await asyncio.sleep(_TICK_SECONDS * 10)
        if end.is_lost or end.transport is None:
            return
        await self._connect_to_server(end)

    async def _connect_to_server(self, end: _End) -> None:
        loop = asyncio.get_running_loop()
        try:
            if isinstance(self._server, int):
                _, peer = await loop.create_connection(lambda: _End(self, end), LOOPBACK, self._server)
            else:
                _, peer = await loop.create_unix_connection(lambda: _End(self, end), self._server)
        except OSError:
            end.abort()
            return
        end.peer = peer
        if end.transport is None:
            peer.abort()

    def forward(self, end: _End, data: bytes) -> None:
        """Forward data, at once or later."""
        if end.is_lost:
            return
        peer = end.peer.transport if end.peer is not None else None
        if self.mode is Mode.TRUNCATED and end.is_of_server and peer and self._chance.random() < _TRUNCATED_SHARE:
            peer.write(data[: len(data) // 2])
            peer.close()
            end.abort_own()
        elif self.mode in {Mode.OPEN, Mode.TRUNCATED} and not end.waiting and peer is not None:
            peer.write(data)
        else:
            delay = self.seconds if self.mode is Mode.DELAYED else 0.0
            end.waiting.append((asyncio.get_running_loop().time() + delay, data))

    def flush(self, now: float) -> None:
        """Write what is due."""
        if self.mode in {Mode.SILENT, Mode.DROPPED}:
            return
        for client in list(self.ends):
            for end in (client, client.peer):
                if end is None or end.peer is None or end.peer.transport is None:
                    continue
                while end.waiting and end.waiting[0][0] <= now:
                    end.peer.transport.write(end.waiting.popleft()[1])


async def _main(servers: dict[str, int | str]) -> None:
    links = {name: Link(server) for name, server in servers.items()}
    for link in links.values():
        await link.listen()

    async def tick() -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            for link in links.values():
                link.flush(loop.time())

    async def act(_: str, arguments: Answer) -> Answer:
        for name in arguments["links"]:
            await links[name].change(Mode(arguments["mode"]), arguments["seconds"])
        return {}

    ticking = asyncio.get_running_loop().create_task(tick())
    await serve_commands({"ports": {name: link.port for name, link in links.items()}}, act)
    ticking.cancel()


if __name__ == "__main__":
    given: dict[str, Any] = orjson.loads(sys.argv[1])
    uvloop.run(_main(given["servers"]))
