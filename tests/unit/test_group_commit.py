"""Group commit: how many writes a number of events costs, and that each caller gets its own answer, in time, whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ingress.body_reader import BodyReader
from ingress.inbox import MAX_GROUP, Inbox, InboxUnavailableError, pack_append
from ingress.pipeline import Pipeline, PlainPipeline, open_pipeline
from schemas import keys
from tests.support.ingress_client import stored
from tests.support.settings import NOBODY_LISTENS
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for_async
from tests.unit.observed_transport import ObservedTransport

Answer = str | BaseException


def watch_writes(connection: Connection, told: Callable[[bytes], None]) -> None:
    """Have every write to the socket told, whoever makes it."""
    writer = connection._writer
    assert writer is not None
    writer._transport = ObservedTransport(writer.transport, told)  # type: ignore[attr-defined]


@asynccontextmanager
async def an_inbox(url: str, timeout_seconds: float = 5.0) -> AsyncIterator[tuple[Inbox, list[int]]]:
    """An inbox, connected if it can be, and a list that gets the size of each write it then makes."""
    writes: list[int] = []

    class Counting(Connection):
        async def _connect(self) -> None:
            await super()._connect()  # type: ignore[no-untyped-call]
            watch_writes(self, lambda data: writes.append(len(data)))

    pool = ConnectionPool.from_url(url, connection_class=Counting, protocol=2, retry=Retry(NoBackoff(), 0))
    if url != NOBODY_LISTENS:
        await pool.release(await pool.get_connection())  # type: ignore[no-untyped-call]
        writes.clear()
    inbox = Inbox(pool, BodyReader().memory, timeout_seconds)
    try:
        yield inbox, writes
    finally:
        await inbox.close()


async def answers_of(inbox: Inbox, bodies: list[bytes]) -> list[Answer]:
    """Append them at one moment and wait for all answers."""
    return list(await asyncio.gather(*(inbox.append("instacart", body) for body in bodies), return_exceptions=True))


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 60))


@given(provider=st.sampled_from(["instacart", "afosto"]), body=st.binary(), request=st.binary())
def test_the_command_on_the_wire_is_the_one_a_client_library_sends(provider: str, body: bytes, request: bytes) -> None:
    connection = redis.Connection()  # type: ignore[no-untyped-call]
    kept = (keys.FIELD_REQUEST, request) if request else ()
    packed = connection.pack_command(  # type: ignore[no-untyped-call]
        "XADD", keys.INBOX, "*", keys.FIELD_PROVIDER, provider, keys.FIELD_BODY, body, *kept
    )
    assert pack_append(provider, body, request) == b"".join(packed)


@pytest.mark.parametrize(("events", "writes"), [(1, 1), (100, 1), (MAX_GROUP, 1), (MAX_GROUP + 1, 2), (3 * MAX_GROUP, 3)])
def test_events_of_one_moment_share_a_write_and_get_their_own_ids(valkey_url: str, events: int, writes: int) -> None:
    bodies = numbered(events)

    async def main() -> None:
        async with an_inbox(valkey_url) as (inbox, written):
            answers = await answers_of(inbox, bodies)
            assert list(zip(answers, bodies, strict=True)) == [(name, body) for name, _, body in stored(valkey_url)]
            assert len(written) == writes

    run(main)


def test_an_event_costs_one_command_and_nothing_else(real_valkey_url: str) -> None:
    async def main() -> None:
        async with an_inbox(real_valkey_url) as (inbox, _):
            with redis.Redis.from_url(real_valkey_url) as client:
                client.config_resetstat()
                await answers_of(inbox, numbered(700))
                used = {name: each["calls"] for name, each in client.info("commandstats").items()}
            assert used.pop("cmdstat_xadd") == 700
            assert used.keys() <= {"cmdstat_info", "cmdstat_config|resetstat", "cmdstat_client|setinfo", "cmdstat_hello"}

    run(main)


def test_what_comes_during_a_commit_goes_together_in_the_next(valkey_url: str) -> None:
    async def main() -> None:
        async with an_inbox(valkey_url) as (inbox, written):
            first = inbox.append("instacart", b"first")
            while not written:  # noqa: ASYNC110 - turn by turn, so that no reply can have come
                await asyncio.sleep(0)
            assert not first.done()
            answers = await answers_of(inbox, numbered(100))
            assert len({await first, *answers}) == 101
            assert len(written) == 2

    run(main)


def test_a_caller_who_left_takes_no_other_answer_away(valkey_url: str) -> None:
    async def main() -> None:
        async with an_inbox(valkey_url) as (inbox, _):
            futures = [inbox.append("instacart", body) for body in numbered(9)]
            for left in futures[::2]:
                left.cancel()
            stayed = [await future for future in futures[1::2]]
            entries = stored(valkey_url)
            assert [body for _, _, body in entries] == numbered(9)
            assert stayed == [name for name, _, _ in entries][1::2]

    run(main)


def test_closing_finishes_what_is_under_way(valkey_url: str) -> None:
    async def main() -> None:
        async with an_inbox(valkey_url) as (inbox, _):
            futures = [inbox.append("instacart", body) for body in numbered(MAX_GROUP + 1)]
        assert all(future.done() and future.exception() is None for future in futures)
        assert len(stored(valkey_url)) == MAX_GROUP + 1

    run(main)


def test_an_append_that_valkey_refuses_is_unavailable_and_the_next_one_works(valkey_url: str) -> None:
    async def main() -> None:
        with redis.Redis.from_url(valkey_url) as client:
            client.set(keys.INBOX, "no stream")
            async with an_inbox(valkey_url) as (inbox, _):
                refused = await answers_of(inbox, numbered(3))
                (said,) = {str(each) for each in refused if type(each) is InboxUnavailableError}
                assert len(refused) == 3
                assert said in ("Valkey refused: WRONGTYPE", "Valkey refused: ERR")  # the fake puts ERR before every error
                client.delete(keys.INBOX)
                assert await inbox.append("instacart", b"next") == stored(valkey_url)[0][0]

    run(main)


def test_a_valkey_that_is_no_longer_the_primary_is_left_for_the_one_that_is(real_valkey_url: str) -> None:
    async def main() -> None:
        with redis.Redis.from_url(real_valkey_url) as client:
            async with an_inbox(real_valkey_url) as (inbox, _):
                connections = client.info("stats")["total_connections_received"]
                client.replicaof("127.0.0.1", "1")
                try:
                    answers = await answers_of(inbox, numbered(2))
                finally:
                    client.replicaof("NO", "ONE")
                assert [str(each) for each in answers] == ["Valkey refused: READONLY"] * 2
                assert isinstance(await inbox.append("instacart", b"next"), str)
                assert client.info("stats")["total_connections_received"] == connections + 1

    run(main)


def test_without_a_valkey_all_are_told_so() -> None:
    async def main() -> None:
        async with an_inbox(NOBODY_LISTENS) as (inbox, _):
            answers = await answers_of(inbox, numbered(MAX_GROUP + 1))
            assert {(type(each), str(each)) for each in answers} == {
                (InboxUnavailableError, "Valkey is unreachable: ConnectionError")
            }

    run(main)


@pytest.mark.parametrize("signal", ["stop", "kill"])
def test_a_restarted_valkey_has_what_was_answered_and_takes_more(real_valkey: RealValkey, signal: str) -> None:
    async def main() -> None:
        async with an_inbox(real_valkey.url) as (inbox, _):
            before = await answers_of(inbox, numbered(50))
            getattr(real_valkey, signal)()
            assert all(isinstance(each, InboxUnavailableError) for each in await answers_of(inbox, numbered(50)))
            real_valkey.start()
            assert [name for name, _, _ in stored(real_valkey.url)] == before
            assert await inbox.append("instacart", b"after") == stored(real_valkey.url)[-1][0]

    run(main)


def test_a_frozen_valkey_keeps_nobody_waiting_however_many_there_are(
    real_valkey: RealValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = 20
    monkeypatch.setattr("ingress.inbox.MAX_GROUP", 8)
    tries: list[ConnectionPool] = []

    async def counted(pool: ConnectionPool) -> Pipeline | PlainPipeline:
        tries.append(pool)
        return await open_pipeline(pool)

    monkeypatch.setattr("ingress.inbox.open_pipeline", counted)

    async def main() -> None:
        async with an_inbox(real_valkey.url, timeout_seconds=0.5) as (inbox, _):
            real_valkey.freeze()
            answers = await answers_of(inbox, numbered(groups * 8))
            assert {(type(each), str(each)) for each in answers} == {(InboxUnavailableError, "Valkey did not confirm in time")}
            assert len(tries) < groups / 2, "the promise is two timeouts, whatever the number of groups"
            real_valkey.resume()

            async def taken() -> str | None:
                answer = (await answers_of(inbox, [b"after"]))[0]
                return answer if isinstance(answer, str) else None

            event_id = await wait_for_async(taken, what="the thawed Valkey to take an event")
            assert (event_id, "instacart", b"after") in stored(real_valkey.url), "no reply was taken for another event's"

    run(main)


def test_past_a_limit_of_bytes_in_memory_an_append_is_refused_at_once(
    real_valkey: RealValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingress.body_reader.BODIES_BYTES", 1000)

    async def main() -> None:
        async with an_inbox(real_valkey.url) as (inbox, _):
            waiting = [inbox.append("instacart", b"x" * 600) for _ in range(2)]
            with pytest.raises(InboxUnavailableError, match="too slow"):
                inbox.append("instacart", b"one too many")
            await asyncio.gather(*waiting)
            assert await inbox.append("instacart", b"room again")

    run(main)


def test_a_bug_in_the_client_library_leaves_nobody_waiting(fake_valkey_url: str) -> None:
    def fail(data: bytes) -> None:
        raise ValueError("a bug")

    class Broken(Connection):
        async def _connect(self) -> None:
            await super()._connect()  # type: ignore[no-untyped-call]
            watch_writes(self, fail)

    async def main() -> None:
        pool = ConnectionPool.from_url(fake_valkey_url, connection_class=Broken, protocol=2)
        inbox = Inbox(pool, BodyReader().memory, 5.0)
        assert all(isinstance(each, InboxUnavailableError) for each in await answers_of(inbox, numbered(3)))
        await inbox.close()

    run(main)


def test_without_a_transport_of_redis_py_the_same_is_promised_and_it_is_said(
    real_valkey: RealValkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ingress.pipeline.transport_of", lambda connection: None)  # as after a release that keeps it elsewhere

    async def main() -> None:
        async with an_inbox(real_valkey.url, timeout_seconds=0.5) as (inbox, _):
            ids = await answers_of(inbox, numbered(600))
            assert [(each, "instacart", body) for each, body in zip(ids, numbered(600), strict=True)] == stored(real_valkey.url)
            with redis.Redis.from_url(real_valkey.url) as client:
                client.config_set("maxmemory", 1)
            refused = await answers_of(inbox, numbered(2))
            assert {(type(each), str(each)) for each in refused} == {(InboxUnavailableError, "Valkey refused: OOM")}
            real_valkey.restore()
            real_valkey.freeze()
            assert {type(each) for each in await answers_of(inbox, numbered(3))} == {InboxUnavailableError}
            real_valkey.restore()

    run(main)
    assert "costs twice as much" in caplog.text
