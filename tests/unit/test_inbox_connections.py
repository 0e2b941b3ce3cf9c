"""The inbox's connection to Valkey is closed, while nothing or while much is appended: nobody is told 503 for it."""

import asyncio
from collections.abc import Callable

import pytest
import redis

from tests.support.ingress_client import stored
from tests.support.switched_address import proxied
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for_async
from tests.unit.inbox_commits import Answer, an_inbox, answers_of, numbered, run


def clients(client: "redis.Redis") -> int:
    """Connections besides the one that asks."""
    return int(client.info("clients")["connected_clients"]) - 1


def close_as_idle(server: RealValkey) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("timeout", 1)


def kill_clients(server: RealValkey) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.client_kill_filter(_type="normal", skipme=True)


def restart(server: RealValkey) -> None:
    server.stop()
    server.start()


def crash(server: RealValkey) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("close", [close_as_idle, kill_clients, restart, crash])
def test_the_first_event_after_an_idle_connection_was_closed_is_accepted_and_stored_once(
    real_server: RealValkey, close: Callable[[RealValkey], None]
) -> None:
    async def main() -> None:
        async with an_inbox(real_server.url) as (inbox, _):
            await inbox.append("instacart", b"before")
            await asyncio.to_thread(close, real_server)
            with redis.Redis.from_url(real_server.url) as client:

                async def nobody_left() -> bool:
                    return clients(client) == 0

                await wait_for_async(nobody_left, what="the server to close the connection")
                client.config_set("timeout", 0)
            first = await inbox.append("instacart", b"first")
            entries = stored(real_server.url)
            assert [body for _, _, body in entries] == [b"before", b"first"]
            assert first == entries[-1][0]

    run(main)


def test_connections_that_are_killed_under_load_cost_no_event_and_no_answer(real_server: RealValkey) -> None:
    async def main() -> None:
        async with an_inbox(real_server.url) as (inbox, _):
            answers: list[Answer] = []

            async def post() -> None:
                for _ in range(40):
                    answers.extend(await answers_of(inbox, numbered(20)))

            async def kill() -> None:
                while len(answers) < 2000:
                    await asyncio.to_thread(kill_clients, real_server)
                    await asyncio.sleep(0.005)

            await asyncio.gather(kill(), *(post() for _ in range(4)))
            told = [each for each in answers if isinstance(each, str)]
            assert len(told) == len(answers) == 3200
            assert len(set(told)) == 3200
            assert set(told) <= {name for name, _, _ in stored(real_server.url)}

    run(main)


def test_events_whose_confirmation_was_cut_off_are_appended_again_within_the_same_answer(real_server: RealValkey) -> None:
    async def main() -> None:
        with proxied(real_server.port) as proxy, redis.Redis.from_url(real_server.url) as client:
            async with an_inbox(proxy.url) as (inbox, _):
                await inbox.append("instacart", b"before")
                proxy.drops_replies = True
                waiting = asyncio.ensure_future(answers_of(inbox, numbered(3)))

                async def appended() -> bool:
                    return len(stored(real_server.url)) == 4

                await wait_for_async(appended, what="Valkey to execute the appends")
                proxy.drops_replies = False
                kill_clients(real_server)
                answers = await waiting
                entries = stored(real_server.url)
                assert [body for _, _, body in entries] == [b"before", *numbered(3), *numbered(3)]
                assert answers == [name for name, _, _ in entries[4:]]
                assert clients(client) <= 2

    run(main)


def test_a_server_that_closes_every_connection_is_503_at_once(real_server: RealValkey) -> None:
    async def main() -> None:
        with proxied(real_server.port) as proxy:
            async with an_inbox(proxy.url) as (inbox, _):
                proxy.target = 1  # nobody listens there
                proxy.cut()
                before = proxy.connections
                answers = await answers_of(inbox, numbered(3))
                assert not any(isinstance(each, str) for each in answers)
                assert proxy.connections <= before + 2

    run(main)
