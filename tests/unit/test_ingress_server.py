"""The HTTP server of an ingress: writes for each answer, and no write delayed beyond one iteration of the event loop."""

import asyncio
from typing import Any, cast

import httpx
import pytest

from ingress.http_protocol import Parser, Protocol
from ingress.joined_writes import JoinedWrites
from tests.support.ingress_client import bearer, running_ingress, stored
from tests.support.settings import make_settings
from tests.unit.observed_transport import ObservedTransport


class Wire:
    """A transport that only notes what is written, and that it is hung up."""

    def __init__(self) -> None:
        self.writes = list[bytes]()
        self.write = self.writes.append

    def close(self) -> None:
        self.writes.append(b"(hung up)")

    def is_closing(self) -> bool:
        return b"(hung up)" in self.writes

    def get_write_buffer_size(self) -> int:
        return 0


def joined(wire: Wire) -> JoinedWrites:
    return JoinedWrites(cast("asyncio.Transport", wire), asyncio.get_running_loop())


def test_an_answer_is_one_write_on_every_path(fake_valkey_url: str) -> None:
    written, connections = list[bytes](), list[asyncio.Transport]()

    class Watched(Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            connections.append(cast("asyncio.Transport", ObservedTransport(transport, written.append)))
            super().connection_made(connections[-1])

    with (
        running_ingress(make_settings(REDIS_URL=fake_valkey_url), http=Watched) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        answers = [client.get("/healthz"), client.get("/nowhere"), client.post("/webhook", content=b"{}")]
    assert [answer.status_code for answer in answers] == [200, 404, 401]
    assert [data.partition(b"\r\n\r\n")[2] for data in written] == [answer.content for answer in answers]
    assert [each.is_closing() for each in connections] == [True]


def test_a_single_write_is_sent_at_the_next_iteration_of_the_event_loop() -> None:
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


def test_buffered_bytes_are_sent_before_the_connection_closes() -> None:
    async def main() -> None:
        transport = joined(wire := Wire())
        transport.write(b"the last word")
        transport.close()
        await asyncio.sleep(0)
        assert wire.writes == [b"the last word", b"(hung up)"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "filler", [b"\r\n", b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"x"], ids=["empty lines", "requests", "letters"]
)
def test_a_body_is_parsed_in_as_many_pieces_as_it_comes_in(real_valkey_url: str, filler: bytes) -> None:
    """Whatever is in it: a body of empty lines once kept everybody waiting."""
    pieces = list[int]()

    class Counted(Parser):
        def feed_data(self, data: bytes) -> None:  # type: ignore[override]
            pieces.append(len(data))
            super().feed_data(data)

    class Watched(Protocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.parser = Counted(self)

    body = filler * (500_000 // len(filler))
    with (
        running_ingress(make_settings(REDIS_URL=real_valkey_url), http=Watched) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        assert client.post("/webhook", content=body, headers=bearer()).status_code == 200
        assert client.get("/healthz").status_code == 200
    assert len(pieces) < 200, "the kernel hands over some kilobytes at a time"
    assert [each[2] == body for each in stored(real_valkey_url)] == [True]
