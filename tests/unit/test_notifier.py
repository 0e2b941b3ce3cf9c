"""Notifications: one for many events, without content; none while a dispatcher waits; harmless without a broker."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis
from celery import Celery
from redis.asyncio import Redis

from ingress.background import running
from ingress.notifier import PAUSE_SECONDS, Notifier
from schemas import keys
from schemas.processes import NOTIFICATION_EXPIRES_SECONDS, NOTIFICATION_LIFETIME_MS
from schemas.tasks import broker_options
from tests.support.ingress_client import notifications
from tests.support.settings import LOOPBACK, free_port
from tests.support.valkey_servers import RealValkey, broker_of
from tests.support.waiting import wait_for_async


@asynccontextmanager
async def a_notifier(url: str, broker_url: str) -> AsyncIterator[Notifier]:
    celery = Celery("curbside", set_as_current=False)
    celery.conf.update(broker_options(broker_url))
    valkey = Redis.from_url(url, decode_responses=True, protocol=2)
    notifier = Notifier(valkey, celery)
    async with running(notifier=notifier.run()):
        yield notifier
    await notifier.close()
    await valkey.aclose()


async def until_notified(url: str, times: int) -> None:
    async def is_notified() -> bool:
        return await asyncio.to_thread(notifications, url) >= times

    await wait_for_async(is_notified, what=f"{times} notifications")


async def look_twice() -> None:
    """Wait long enough for the notifier to have decided whether a notification is needed."""
    await asyncio.sleep(5 * PAUSE_SECONDS)


def test_many_events_are_one_notification_without_content(valkey_url: str) -> None:
    async def main() -> None:
        async with a_notifier(valkey_url, broker_of(valkey_url)) as notifier:
            for _ in range(100):
                notifier.notify()
            await until_notified(valkey_url, 1)
            for _ in range(100):
                notifier.notify()
                await asyncio.sleep(0)
            await look_twice()

    asyncio.run(main())

    assert notifications(valkey_url) == 1
    with redis.Redis.from_url(broker_of(valkey_url)) as broker:
        message = json.loads(broker.lindex("curbside:curbside.dispatch", 0))
    assert message["headers"]["task"] == "curbside.dispatch"
    assert json.loads(base64.b64decode(message["body"]))[:2] == [[], {}]


def test_after_a_notification_is_received_the_next_event_notifies_again(valkey_url: str) -> None:
    async def main() -> None:
        with redis.Redis.from_url(valkey_url) as client:
            async with a_notifier(valkey_url, broker_of(valkey_url)) as notifier:
                for times in (1, 2):
                    notifier.notify()
                    await until_notified(valkey_url, times)
                    client.delete(keys.notified(keys.DISPATCH))

    asyncio.run(main())


def test_a_notification_is_not_repeated_until_it_is_answered_or_expired(valkey_url: str) -> None:
    async def main() -> None:
        async with a_notifier(valkey_url, broker_of(valkey_url)) as notifier:
            notifier.notify()
            await until_notified(valkey_url, 1)
            notifier.notify()
            await look_twice()

    asyncio.run(main())

    assert notifications(valkey_url) == 1
    with redis.Redis.from_url(valkey_url) as client:
        left = client.pttl(keys.notified(keys.DISPATCH))
        assert NOTIFICATION_LIFETIME_MS - 10_000 < left <= NOTIFICATION_LIFETIME_MS == 1000 * NOTIFICATION_EXPIRES_SECONDS


def test_no_notification_is_sent_while_a_dispatcher_waits_on_the_inbox(valkey_url: str) -> None:
    async def main() -> None:
        with redis.Redis.from_url(valkey_url) as client:
            client.set(keys.waiter(keys.DISPATCH), 1, ex=60)
            async with a_notifier(valkey_url, broker_of(valkey_url)) as notifier:
                notifier.notify()
                await look_twice()
                assert notifications(valkey_url) == 0
                client.delete(keys.waiter(keys.DISPATCH))
                notifier.notify()
                await until_notified(valkey_url, 1)

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["redis", "amqp"])
def test_a_broker_outage_is_only_a_warning(fake_valkey_url: str, caplog: pytest.LogCaptureFixture, engine: str) -> None:
    async def main() -> None:
        async with a_notifier(fake_valkey_url, f"{engine}://user:secret@{LOOPBACK}:{free_port()}//") as notifier:
            notifier.notify()

            async def is_warned() -> bool:
                return "notification not sent" in caplog.text

            await wait_for_async(is_warned, 20, "the warning")

    asyncio.run(main())

    assert "job ended" not in caplog.text
    assert "secret" not in caplog.text


def test_a_notification_is_sent_again_after_a_broker_outage(
    real_valkey: RealValkey, fake_valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with a_notifier(fake_valkey_url, broker_of(real_valkey.url)) as notifier:
            notifier.notify()
            await until_notified(real_valkey.url, 1)
            real_valkey.kill()
            with redis.Redis.from_url(fake_valkey_url) as client:
                client.delete(keys.notified(keys.DISPATCH))

                async def is_warned() -> bool:
                    notifier.notify()
                    return "notification not sent" in caplog.text

                await wait_for_async(is_warned, 20, "the warning")
                real_valkey.start()
                client.delete(keys.notified(keys.DISPATCH))
                notifier.notify()
                await until_notified(real_valkey.url, 2)

    asyncio.run(main())

    assert "job ended" not in caplog.text


def test_without_valkey_the_notifier_waits_and_continues_afterwards(
    real_valkey: RealValkey, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with a_notifier(real_valkey.url, broker_of(real_valkey.url)) as notifier:
            real_valkey.kill()
            notifier.notify()

            async def is_warned() -> bool:
                return "notification not sent" in caplog.text

            await wait_for_async(is_warned, 30, "the warning")
            real_valkey.start()
            notifier.notify()
            await until_notified(real_valkey.url, 1)

    asyncio.run(main())
