"""Back-pressure: when the inbox refuses events, and when it accepts them again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool

from ingress.background import running
from ingress.backpressure import check_inbox, monitor
from ingress.body_reader import BodyReader
from ingress.inbox import Inbox
from ingress.unavailability import InboxUnavailableError
from schemas import keys
from tests.support.settings import LOOPBACK
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for_async


def refusal(url: str, max_backlog: int = 1000) -> str | None:
    async def main() -> str | None:
        async with Redis.from_url(url, protocol=2, decode_responses=True) as valkey:
            found = (await check_inbox(valkey, max_backlog)).refusal
            return found.detail if found else None

    return asyncio.run(main())


def append(client: redis.Redis, count: int) -> list[bytes | str]:
    return [client.xadd(keys.INBOX, {keys.FIELD_BODY: b"{}"}) for _ in range(count)]


def test_an_empty_inbox_takes_events(valkey_url: str) -> None:
    assert refusal(valkey_url, max_backlog=0) is None


def test_undelivered_events_count(valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        append(client, 5)
    assert refusal(valkey_url, 5) is None
    assert refusal(valkey_url, 4) == "5 events wait in the inbox (INBOX_MAX_BACKLOG is 4)"


def test_pending_events_count_until_they_are_acknowledged(valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        client.xgroup_create(keys.INBOX, keys.GROUP, "0", mkstream=True)
        names = append(client, 5)
        assert (refusal(valkey_url, 5), refusal(valkey_url, 4) is None) == (None, False)
        client.xreadgroup(keys.GROUP, "worker", {keys.INBOX: ">"}, count=3)
        assert (refusal(valkey_url, 5), refusal(valkey_url, 4) is None) == (None, False)
        client.xack(keys.INBOX, keys.GROUP, *names[:3])
        assert (refusal(valkey_url, 2), refusal(valkey_url, 1) is None) == (None, False)


def test_another_consumer_group_does_not_count(valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        client.xgroup_create(keys.INBOX, keys.GROUP, "0", mkstream=True)
        client.xgroup_create(keys.INBOX, "auditors", "0")
        names = append(client, 5)
        client.xreadgroup(keys.GROUP, "worker", {keys.INBOX: ">"})
        client.xack(keys.INBOX, keys.GROUP, *names)
    assert refusal(valkey_url, 0) is None


def test_near_the_memory_limit_events_are_refused(real_valkey: RealValkey) -> None:
    with redis.Redis.from_url(real_valkey.url) as client:
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used * 10)
        assert refusal(real_valkey.url) is None
        client.config_set("maxmemory", used)
        said = refusal(real_valkey.url)
    assert said is not None
    assert said.startswith("Valkey uses ")
    assert f" of {used} bytes" in said


@asynccontextmanager
async def a_watched_inbox(url: str, max_backlog: int) -> AsyncIterator[Inbox]:
    inbox = Inbox(ConnectionPool.from_url(url, protocol=2), BodyReader().memory, 5.0)
    async with Redis.from_url(url, protocol=2, decode_responses=True) as valkey:
        async with running(pressure=monitor(valkey, inbox, max_backlog)):
            yield inbox
        await inbox.close()


async def until_refused(inbox: Inbox, wanted: bool) -> None:
    async def is_so() -> bool:
        return (inbox.refusal is not None) == wanted

    await wait_for_async(is_so, what="the inbox to refuse" if wanted else "the inbox to accept")


def test_a_full_inbox_refuses_events_and_logs_it_once(
    valkey_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingress.backpressure.PERIOD_SECONDS", 0.01)

    async def main() -> None:
        with redis.Redis.from_url(valkey_url) as client:
            append(client, 3)
            async with a_watched_inbox(valkey_url, 2) as inbox:
                await until_refused(inbox, True)
                with pytest.raises(InboxUnavailableError, match="INBOX_MAX_BACKLOG"):
                    inbox.append("instacart", b"{}")
                client.xtrim(keys.INBOX, maxlen=0)
                await until_refused(inbox, False)
                assert await inbox.append("instacart", b"{}")

    asyncio.run(main())

    said = [record.getMessage() for record in caplog.records if record.name == "curbside.ingress"]
    assert said == ["inbox: 3 events wait in the inbox (INBOX_MAX_BACKLOG is 2)", "inbox: accepting again"]


def test_a_valkey_outage_is_left_for_an_append_to_report(real_valkey: RealValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingress.backpressure.PERIOD_SECONDS", 0.01)

    async def main() -> None:
        with redis.Redis.from_url(real_valkey.url) as client:
            append(client, 1)
        async with a_watched_inbox(real_valkey.url, 0) as inbox:
            await until_refused(inbox, True)
            real_valkey.kill()
            await until_refused(inbox, False)
            real_valkey.start()
            await until_refused(inbox, True)

    asyncio.run(main())


def test_an_outage_is_one_log_line_however_often_it_is_checked(
    real_valkey: RealValkey, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingress.backpressure.PERIOD_SECONDS", 0.01)
    looks = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal looks
        looks += 1
        writer.close()

    async def main() -> None:
        async def looked_again() -> bool:
            return looks >= 5

        real_valkey.kill()
        async with await asyncio.start_server(hang_up, LOOPBACK, real_valkey.port), a_watched_inbox(real_valkey.url, 1):
            await wait_for_async(looked_again, what="five looks")

    asyncio.run(main())
    said = [record.getMessage() for record in caplog.records if record.name == "curbside.ingress"]
    assert said == ["Valkey is unreachable (ConnectionError): no event is accepted until it is back"]
