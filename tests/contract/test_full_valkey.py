"""Valkey's memory fills while no worker runs: intake stops in time, workers then work off what waits, and intake goes on."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool

from ingress.background import running
from ingress.backpressure import monitor
from ingress.body_reader import BodyReader
from ingress.inbox import Inbox
from ingress.unavailability import InboxUnavailableError
from schemas import keys
from schemas.refusals import Cause
from schemas.tasks import HOUSEKEEP_QUEUE
from schemas.valkey_memory import reserved_bytes, room_bytes
from tests.support.ingress_client import Serve, bearer
from tests.support.live_deployment import Worker
from tests.support.valkey_servers import RealValkey, broker_of
from tests.support.waiting import wait_for
from tests.unit.instacart_bodies import flat
from workers.monitoring.status import read_streams

MIB = 1 << 20
LIMIT = 64 * MIB


def body(number: int) -> bytes:
    return json.dumps(flat(order_id=f"order {number}", padding="x" * 48_000)).encode()


def post(client: httpx.Client, number: int) -> httpx.Response:
    return client.post("/webhook", content=body(number), headers=bearer())


def applied(client: Any) -> int:
    return int(client.hget(keys.COUNTERS, keys.Counter.applied("timeline")) or 0)


def test_a_valkey_filled_while_no_worker_ran_works_itself_free(serve: Serve, real_server: RealValkey, tmp_path: Path) -> None:
    with redis.Redis.from_url(real_server.url) as valkey:
        valkey.config_set("maxmemory", LIMIT)
        provider = serve(REDIS_URL=real_server.url)
        number = 0
        while (answer := post(provider, number)).status_code == 200:
            number += 1
        assert answer.json()["detail"].startswith(("Valkey uses", "Valkey's memory is full")), answer.text
        assert number * 48_000 > LIMIT / 2, "it refuses too early"
        settings = {
            "REDIS_URL": real_server.url,
            "CELERY_BROKER_URL": broker_of(real_server.url),
            "DATABASE_URL": f"sqlite:///{tmp_path / 'ledger.db'}",
            "INBOX_RETENTION": "1s",
        }
        worker = Worker("worker", tmp_path, **settings)
        worker.start()
        try:
            wait_for(lambda: applied(valkey) == number, 30, "the backlog to be worked off")

            def accepted() -> bool:
                valkey.delete(keys.notified(HOUSEKEEP_QUEUE))  # housekeeping is due
                return post(provider, number).status_code == 200

            wait_for(accepted, 20, "events to be accepted again")
            wait_for(lambda: applied(valkey) > number, 20, "the last event to be applied")
            assert read_streams(valkey, ["timeline"], datetime.now(UTC))[0].balanced
            worker.terminate()
            worker.wait()
        finally:
            worker.discard()


@pytest.mark.parametrize("ingresses", [1, 4])
def test_large_bodies_that_come_fast_leave_the_memory_that_working_off_needs(real_server: RealValkey, ingresses: int) -> None:
    async def fill(valkey: Redis) -> Cause | None:
        pool = ConnectionPool.from_url(real_server.url, protocol=2)
        inbox = Inbox(pool, BodyReader().memory, 30.0)
        inbox.room.set(0)
        try:
            async with running(pressure=monitor(valkey, inbox, 10**6)):
                while inbox.room.left <= 0:  # noqa: ASYNC110 - the first look
                    await asyncio.sleep(0.001)
                while True:
                    await asyncio.gather(*(inbox.append("instacart", b"x" * (MIB // 4)) for _ in range(2)))
        except InboxUnavailableError as error:
            return error.cause
        finally:
            await inbox.close()

    async def main() -> None:
        with redis.Redis.from_url(real_server.url) as client:
            client.config_set("maxmemory", LIMIT)
            client.config_resetstat()
            async with Redis.from_url(real_server.url, protocol=2, decode_responses=True) as valkey:
                assert set(await asyncio.gather(*(fill(valkey) for _ in range(ingresses)))) == {Cause.MEMORY}
            used = client.info("memory")["used_memory"]
            assert LIMIT / 2 < used < LIMIT - 8 * MIB
            assert "errorstat_OOM" not in client.info("errorstats"), "Valkey itself refused"

    asyncio.run(main())


def test_the_part_kept_from_new_events_grows_with_what_waits() -> None:
    assert reserved_bytes(1000 * MIB, 0) == 50 * MIB
    assert reserved_bytes(64 * MIB, 0) == 16 * MIB
    assert reserved_bytes(8 * MIB, 0) == 2 * MIB
    assert reserved_bytes(1000 * MIB, 1_000_000) == 256_000_000
    assert reserved_bytes(100 * MIB, 10**9) == 50 * MIB
    assert room_bytes(40 * MIB, 64 * MIB, 0) == 8 * MIB


def test_the_memory_is_looked_at_again_when_an_eighth_of_the_room_is_taken(real_valkey: RealValkey) -> None:
    async def main() -> None:
        inbox = Inbox(ConnectionPool.from_url(real_valkey.url, protocol=2), BodyReader().memory, 30.0)
        inbox.room.set(8 * MIB)
        await inbox.append("instacart", b"x" * (MIB - 1024))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inbox.room.wait(60), 0.1)
        await inbox.append("instacart", b"x" * 1024)
        await asyncio.wait_for(inbox.room.wait(60), 30)
        inbox.room.set(100)
        await inbox.append("instacart", b"the last one")
        with pytest.raises(InboxUnavailableError, match="memory is full"):
            inbox.append("instacart", b"one too many")
        await inbox.close()

    asyncio.run(main())
