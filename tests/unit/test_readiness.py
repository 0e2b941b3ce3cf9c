"""`GET /readyz` costs one check of Valkey a second, however many clients ask, and its answer is current."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from starlette.requests import Request

from ingress.body_reader import BodyReader
from ingress.inbox import Inbox
from ingress.readiness import Readiness
from tests.support.ingress_client import Serve
from tests.support.redis_monitor import RedisMonitor
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for


def test_many_readiness_requests_share_one_check_a_second(serve: Serve, real_valkey_url: str) -> None:
    client = serve(REDIS_URL=real_valkey_url)

    def ask(_: int) -> int:  # on a connection of its own: threads that share httpx's pool may close each other's
        return httpx.get(f"{client.base_url}/readyz", timeout=30).status_code

    with RedisMonitor(real_valkey_url) as monitor, ThreadPoolExecutor(8) as strangers:
        started = time.monotonic()
        statuses = set(strangers.map(ask, range(400)))
        seconds = time.monotonic() - started
        looks = [command for command in monitor.commands if command.startswith("SET {curbside}:ready")]

    assert statuses == {200}
    assert 1 <= len(looks) <= 1 + seconds


def test_concurrent_readiness_requests_wait_for_the_same_check(serve: Serve, real_valkey: RealValkey) -> None:
    client = serve(REDIS_URL=real_valkey.url, COMMIT_TIMEOUT="20s")
    with RedisMonitor(real_valkey.url) as monitor, ThreadPoolExecutor(8) as strangers:
        real_valkey.freeze()
        answers = [strangers.submit(httpx.get, f"{client.base_url}/readyz", timeout=30) for _ in range(8)]
        with pytest.raises(TimeoutError):
            answers[0].result(timeout=0.5)
        real_valkey.resume()
        assert {answer.result().status_code for answer in answers} == {200}
        assert len([command for command in monitor.commands if command.startswith("SET {curbside}:ready")]) == 1


def test_a_cached_readiness_result_expires_soon(serve: Serve, real_valkey: RealValkey) -> None:
    client = serve(REDIS_URL=real_valkey.url)

    def status() -> int:
        return client.get("/readyz").status_code

    assert status() == 200
    real_valkey.kill()
    wait_for(lambda: status() == 503, 5.0, "503 after Valkey has gone")
    real_valkey.start()
    wait_for(lambda: status() == 200, 5.0, "200 after Valkey is back")


def test_a_client_that_disconnects_does_not_cancel_the_check_of_others(real_valkey: RealValkey) -> None:
    async def main() -> None:
        inbox = Inbox(ConnectionPool.from_url(real_valkey.url, protocol=2), BodyReader().memory, 5.0)
        async with Redis.from_url(real_valkey.url, protocol=2) as valkey:
            readiness, request = Readiness(valkey, inbox), Request({"type": "http"})
            assert (await readiness(request)).status_code == 200
            readiness = Readiness(valkey, inbox)
            real_valkey.freeze()
            first, second = (asyncio.create_task(readiness(request)) for _ in range(2))
            await asyncio.sleep(0.1)
            first.cancel()
            real_valkey.resume()
            assert (await second).status_code == 200
            assert first.cancelled()
        await inbox.close()

    asyncio.run(main())
