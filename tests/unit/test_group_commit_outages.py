"""Appends while Valkey refuses, is down or frozen: each caller gets its answer in time."""

import asyncio

import pytest
import redis
from redis.asyncio.connection import Connection, ConnectionPool

from ingress.body_reader import BodyReader
from ingress.inbox import MAX_GROUP, Inbox
from ingress.pipeline import Pipeline, PlainPipeline, open_pipeline
from ingress.unavailability import InboxUnavailableError
from schemas import keys
from tests.support.ingress_client import stored
from tests.support.settings import NOBODY_LISTENS
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for_async
from tests.unit.inbox_commits import an_inbox, answers_of, numbered, run, watch_writes


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


def test_after_a_read_only_reply_the_next_append_uses_a_new_connection(real_valkey_url: str) -> None:
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


def test_without_a_valkey_every_append_is_unavailable() -> None:
    async def main() -> None:
        async with an_inbox(NOBODY_LISTENS) as (inbox, _):
            answers = await answers_of(inbox, numbered(MAX_GROUP + 1))
            assert {(type(each), str(each)) for each in answers} == {
                (InboxUnavailableError, "Valkey is unreachable: ConnectionError")
            }

    run(main)


@pytest.mark.parametrize("signal", ["stop", "kill"])
def test_a_restarted_valkey_has_every_acknowledged_event_and_accepts_more(real_valkey: RealValkey, signal: str) -> None:
    async def main() -> None:
        async with an_inbox(real_valkey.url) as (inbox, _):
            before = await answers_of(inbox, numbered(50))
            getattr(real_valkey, signal)()
            assert all(isinstance(each, InboxUnavailableError) for each in await answers_of(inbox, numbered(50)))
            real_valkey.start()
            assert [name for name, _, _ in stored(real_valkey.url)] == before
            assert await inbox.append("instacart", b"after") == stored(real_valkey.url)[-1][0]

    run(main)


def test_a_frozen_valkey_lets_no_caller_wait_beyond_the_timeout(
    real_valkey: RealValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = 20
    monkeypatch.setattr("ingress.inbox.MAX_GROUP", 8)
    tries: list[ConnectionPool] = []

    async def counted(pool: ConnectionPool) -> Pipeline | PlainPipeline:
        tries.append(pool)
        return await open_pipeline(pool)

    monkeypatch.setattr("ingress.inbox_connection.open_pipeline", counted)

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


def test_an_unexpected_error_of_the_client_library_leaves_no_caller_waiting(fake_valkey_url: str) -> None:
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
