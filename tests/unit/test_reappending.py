"""What Valkey loses although it was acknowledged is appended again, and nothing else is."""

import asyncio
from collections.abc import Callable

import pytest
import redis

from ingress.inbox import Inbox
from schemas import keys
from tests.support.failover import replicated
from tests.support.ingress_client import stored
from tests.support.valkey_servers import RealValkey
from tests.unit.inbox_commits import Answer, an_inbox, answers_of, look, numbered, run

STRANGER = {keys.FIELD_PROVIDER: b"afosto", keys.FIELD_BODY: b"of another ingress"}


def reappended(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.hget(keys.COUNTERS, keys.Counter.REAPPENDED) or 0)


def ids(url: str) -> list[str]:
    return [event_id for event_id, _, _ in stored(url)]


def bodies(url: str) -> list[bytes]:
    return [body for _, _, body in stored(url)]


@pytest.mark.parametrize("with_transport", [True, False], ids=["transport", "plain"])
def test_a_failover_to_a_replica_that_lagged_loses_nothing_and_the_ids_stay(
    real_server: RealValkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, with_transport: bool
) -> None:
    if not with_transport:
        monkeypatch.setattr("ingress.pipeline.transport_of", lambda connection: None)

    async def main() -> None:
        with replicated(real_server) as pair:
            async with an_inbox(pair.address.url) as (inbox, _):
                told = await answers_of(inbox, numbered(50))
                pair.catch_up()
                pair.lag()
                told += await answers_of(inbox, numbered(700))
                pair.promote()
                assert len(ids(pair.primary.url)) == 50
                told += await answers_of(inbox, [b"after"])
                await look(inbox)
                assert ids(pair.primary.url) == told
                assert bodies(pair.primary.url) == [*numbered(50), *numbered(700), b"after"]
                assert reappended(pair.primary.url) == 700
                await look(inbox)
                assert len(ids(pair.primary.url)) == 751

    run(main)
    assert "750 of the last acknowledged events were looked for: 700 were missing, appended again" in caplog.text


def test_what_another_ingress_has_appended_meanwhile_does_not_hide_what_is_missing(real_server: RealValkey) -> None:
    async def main() -> None:
        with replicated(real_server) as pair, redis.Redis.from_url(pair.replica.url) as stranger:
            async with an_inbox(pair.address.url) as (inbox, _):
                await answers_of(inbox, numbered(50))
                pair.catch_up()
                pair.lag()
                await answers_of(inbox, numbered(70))
                pair.promote()
                stranger.xadd(keys.INBOX, STRANGER)
                await look(inbox)
                assert sorted(bodies(pair.primary.url)) == sorted([*numbered(50), *numbered(70), b"of another ingress"])

    run(main)


def test_a_primary_that_was_demoted_without_hanging_up_is_left_and_its_last_events_are_kept(real_server: RealValkey) -> None:
    async def main() -> None:
        with replicated(real_server) as pair:
            async with an_inbox(pair.address.url) as (inbox, _):
                await answers_of(inbox, numbered(5))
                pair.catch_up()
                pair.promote(cut=False)  # both are primaries now
                assert all(isinstance(each, str) for each in await answers_of(inbox, [b"to the old one"]))
                pair.follow()
                refused = await answers_of(inbox, [b"refused"])
                assert [str(each) for each in refused] == ["Valkey refused: READONLY"]
                assert all(isinstance(each, str) for each in await answers_of(inbox, [b"to the new one"]))
                await look(inbox)
                assert sorted(bodies(pair.primary.url)) == sorted([*numbered(5), b"to the old one", b"to the new one"])

    run(main)


@pytest.mark.parametrize("then", ["nothing", "more events", "another ingress"])
def test_a_flush_by_accident_loses_nothing_of_the_last_seconds(real_server: RealValkey, then: str) -> None:
    async def main() -> None:
        with redis.Redis.from_url(real_server.url) as client:
            async with an_inbox(real_server.url) as (inbox, _):
                told = await answers_of(inbox, numbered(60))
                await look(inbox)
                client.flushall()
                if then == "more events":
                    told += await answers_of(inbox, numbered(80))
                elif then == "another ingress":
                    for _ in range(90):
                        client.xadd(keys.INBOX, STRANGER)
                await look(inbox)
                found = bodies(real_server.url)
                assert sorted(found[-60:]) == sorted(numbered(60))
                assert len(found) == 60 + {"nothing": 0, "more events": 80, "another ingress": 90}[then]
                if then == "nothing":
                    assert ids(real_server.url) == told

    run(main)


@pytest.mark.parametrize("end", [RealValkey.stop, RealValkey.kill])
def test_a_restart_that_loses_nothing_appends_nothing_again(
    real_server: RealValkey, end: Callable[[RealValkey], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def main() -> None:
        async with an_inbox(real_server.url) as (inbox, _):
            told = await answers_of(inbox, numbered(3000))
            end(real_server)
            real_server.start()
            await look(inbox)
            assert ids(real_server.url) == told
            assert reappended(real_server.url) == 0

    run(main)
    assert "3000 of the last acknowledged events were looked for: 0 were missing" in caplog.text


@pytest.mark.parametrize("kept", [0, 7])
def test_what_was_handled_and_trimmed_is_not_taken_for_lost(real_server: RealValkey, kept: int) -> None:
    async def main() -> None:
        with redis.Redis.from_url(real_server.url) as client:
            async with an_inbox(real_server.url) as (inbox, _):
                for body in numbered(20):
                    await inbox.append("instacart", body)
                client.xtrim(keys.INBOX, maxlen=kept, approximate=False)
                await look(inbox)
                real_server.stop()
                real_server.start()
                await look(inbox)
                assert bodies(real_server.url) == numbered(20)[20 - kept :]

    run(main)


def make_full(client: "redis.Redis") -> None:
    client.config_set("maxmemory", 1)


def make_replica(client: "redis.Redis") -> None:
    client.replicaof("127.0.0.1", "1")


def make_room(client: "redis.Redis") -> None:
    client.config_set("maxmemory", 0)
    client.replicaof("NO", "ONE")


@pytest.mark.parametrize("refuse", [make_full, make_replica])
def test_a_server_that_refuses_to_take_them_again_is_asked_until_it_does(
    real_server: RealValkey, refuse: "Callable[[redis.Redis], None]"
) -> None:
    async def main() -> None:
        with redis.Redis.from_url(real_server.url) as client:
            async with an_inbox(real_server.url) as (inbox, _):
                told = await answers_of(inbox, numbered(30))
                client.flushall()
                refuse(client)
                for _ in range(3):
                    await look(inbox)
                assert ids(real_server.url) == []
                make_room(client)
                await look(inbox)
                assert ids(real_server.url) == told

    run(main)


def test_new_events_are_accepted_while_old_ones_are_looked_for(
    real_server: RealValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingress.reappending.MAX_EVENTS", 10)

    async def main() -> None:
        async with an_inbox(real_server.url) as (inbox, _):
            await answers_of(inbox, numbered(500))
            with redis.Redis.from_url(real_server.url) as client:
                client.flushall()
            inbox.tend()
            await post_while_looking(inbox)
            await look(inbox)
            found = bodies(real_server.url)
            assert sorted(found) == sorted([*numbered(500), *[b"new"] * 20])
            assert found.index(b"new") < 499, "it waited for all the old ones"

    async def post_while_looking(inbox: Inbox) -> None:
        answers: list[Answer] = []
        for _ in range(20):
            answers += await answers_of(inbox, [b"new"])
        assert all(isinstance(each, str) for each in answers)

    run(main)


def test_a_cut_in_the_middle_of_the_search_loses_nothing(real_server: RealValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingress.reappending.MAX_EVENTS", 50)

    async def main() -> None:
        async with an_inbox(real_server.url) as (inbox, _):
            await answers_of(inbox, numbered(2000))
            with redis.Redis.from_url(real_server.url) as client:
                client.flushall()
                inbox.tend()
                for _ in range(10):
                    await asyncio.sleep(0.01)
                    client.client_kill_filter(_type="normal", skipme=True)
                for _ in range(3):
                    await look(inbox)
            assert set(bodies(real_server.url)) == set(numbered(2000))

    run(main)


def test_what_could_not_be_appended_again_before_the_end_is_said(
    real_server: RealValkey, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with redis.Redis.from_url(real_server.url) as client:
            async with an_inbox(real_server.url) as (inbox, _):
                await answers_of(inbox, numbered(30))
                client.flushall()
                make_full(client)
                await look(inbox)
            make_room(client)

    run(main)
    assert "the last acknowledged events cannot be looked for yet: Valkey refused (OOM)" in caplog.text
    assert "Valkey may have lost 30 acknowledged events" in caplog.text


def test_an_ingress_that_ends_appends_again_what_it_knows_to_be_missing(real_server: RealValkey) -> None:
    async def main() -> None:
        with redis.Redis.from_url(real_server.url) as client:
            async with an_inbox(real_server.url) as (inbox, _):
                await answers_of(inbox, numbered(30))
                client.flushall()
                make_full(client)
                await look(inbox)
                make_room(client)
            assert bodies(real_server.url) == numbered(30)

    run(main)
