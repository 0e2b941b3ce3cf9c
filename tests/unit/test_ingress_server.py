"""The HTTP server of an ingress: how many writes an answer costs, and that none is kept back for longer than a turn of the loop."""

import asyncio
from typing import cast

import httpx
import pytest
import uvicorn

from ingress.app import create_app
from ingress.server import OPTIONS, JoinedWrites, Protocol
from tests.support.ports import LOOPBACK
from tests.support.settings import make_settings
from tests.support.waiting import wait_for_async


class Wire:
    """A transport that notes what is written, and that it is hung up."""

    def __init__(self, real: asyncio.Transport | None = None) -> None:
        self.writes = list[bytes]()
        self._real = real

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self._real is not None:
            self._real.write(data)

    def close(self) -> None:
        self.writes.append(b"(hung up)")
        if self._real is not None:
            self._real.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def joined(wire: Wire) -> JoinedWrites:
    return JoinedWrites(cast("asyncio.Transport", wire), asyncio.get_running_loop())


def test_an_answer_is_one_write_whatever_the_path(fake_valkey_url: str) -> None:
    wires = list[Wire]()

    class Watched(Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            wires.append(Wire(transport))
            super().connection_made(cast("asyncio.Transport", wires[-1]))

    async def main() -> None:
        options = OPTIONS | {"http": Watched}
        server = uvicorn.Server(
            uvicorn.Config(create_app(make_settings(REDIS_URL=fake_valkey_url)), LOOPBACK, 0, log_config=None, **options)
        )
        serving = asyncio.create_task(server.serve())
        await wait_for_async(lambda: asyncio.sleep(0, server.started), what="the ingress to start")
        url = f"http://{LOOPBACK}:{server.servers[0].sockets[0].getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            answers = [await client.get("/healthz"), await client.get("/nowhere"), await client.post("/webhook", content=b"{}")]
        server.should_exit = True
        await serving
        assert [answer.status_code for answer in answers] == [200, 404, 401]
        (wire,) = wires
        *written, last = wire.writes
        assert last == b"(hung up)"
        assert [data.partition(b"\r\n\r\n")[2] for data in written] == [answer.content for answer in answers]

    asyncio.run(main())


def test_a_write_that_no_other_follows_is_sent_at_the_next_turn() -> None:
    async def main() -> None:
        transport = joined(wire := Wire())
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert wire.writes == []
        await asyncio.sleep(0)
        assert wire.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("written", "sent"),
    [((b"a", b"b"), [b"ab"]), ((b"a", b"b", b"c"), [b"ab", b"c"]), ((b"a", b"b", b"c", b"d"), [b"ab", b"cd"])],
)
def test_nothing_is_sent_twice_or_out_of_order(written: tuple[bytes, ...], sent: list[bytes]) -> None:
    async def main() -> None:
        transport = joined(wire := Wire())
        for data in written:
            transport.write(data)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert wire.writes == sent

    asyncio.run(main())


def test_what_is_kept_back_is_sent_before_the_hang_up() -> None:
    async def main() -> None:
        transport = joined(wire := Wire())
        transport.write(b"the last word")
        transport.close()
        await asyncio.sleep(0)
        assert wire.writes == [b"the last word", b"(hung up)"]

    asyncio.run(main())
