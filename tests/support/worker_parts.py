"""A worker's components on the Valkey of a test (store, notifier, retry scheduler), and bodies to append to the inbox."""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis
from celery import Celery

from schemas import keys
from schemas.events import Provider
from schemas.tasks import broker_options, queue_name
from tests.support.event_sums import BUILT_IN, Sums, sums
from tests.support.valkey_servers import broker_of
from workers.broker import Broker
from workers.consumers.notifier import Notifier
from workers.failures.failure_store import FailureStore
from workers.failures.retry_scheduler import RetryScheduler
from workers.local_work import LocalWork
from workers.valkey.connection import connect
from workers.valkey.entries import Entry
from workers.valkey.store import Store

_NUMBERS = itertools.count(1)


class WorkerParts:
    """One worker's connections."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Any = connect(url)
        self.store = Store(self.client)
        self._celery = Celery("curbside", set_as_current=False)
        self._celery.conf.update(broker_options(broker_of(url)))
        self.broker, self.local = Broker(self._celery), LocalWork()
        self.notifier = Notifier(self.broker, self.store, self.local)
        self.scheduler = RetryScheduler(self.broker, FailureStore(self.client), self.local)
        self._broker = redis.Redis.from_url(broker_of(url))

    def append(self, *bodies: bytes, provider: str = Provider.INSTACART) -> list[str]:
        """Append bodies to the inbox, as the ingress does. Return their event ids."""
        return [
            self.client.xadd(keys.INBOX, {keys.FIELD_PROVIDER: provider, keys.FIELD_BODY: body}).decode() for body in bodies
        ]

    def read_new(self, stream: str = keys.INBOX, consumer: str = "one", count: int = 1000) -> list[Entry]:
        """Read the new entries of a stream as a consumer."""
        self.store.ensure_groups([stream])
        return self.store.read(stream, consumer, count)

    def waiting_for(self, handler: str) -> list[str]:
        """The event ids of a handler's claim checks."""
        checks = [fields[keys.FIELD_EVENT].decode() for _, fields in self.client.xrange(keys.todo(handler))]
        return [event_id for check in checks for event_id in check.split()]

    def sums(self, handlers: Sequence[str] = BUILT_IN) -> Sums:
        """Read the sums and check them."""
        found = sums(self.client, handlers)
        found.check()
        return found

    def notifications(self, queue: str) -> int:
        """The number of a queue's notifications that wait at the broker."""
        self.broker.flush()
        return int(self._broker.llen(f"curbside:{queue_name(queue)}"))

    def close(self) -> None:
        """Close the connections."""
        self.local.close()
        self.broker.close()
        self._broker.close()
        self.client.close()
        self._celery.close()


@pytest.fixture
def worker_parts(valkey_url: str) -> Iterator[WorkerParts]:
    """Components on fakeredis, and on Valkey."""
    made = WorkerParts(valkey_url)
    yield made
    made.close()


@pytest.fixture
def real_worker_parts(real_valkey_url: str) -> Iterator[WorkerParts]:
    """Components on a real Valkey."""
    made = WorkerParts(real_valkey_url)
    yield made
    made.close()


def status(order_id: str, event: str = "picking", second: int | None = None) -> bytes:
    """A callback with an order's status. Each has a newer time than the one before, unless `second` (of the day) is given."""
    number = next(_NUMBERS) if second is None else second
    time = f"2026-03-02T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
    return json.dumps({"event": f"fulfillment.{event}", "order_id": order_id, "timestamp": time}).encode()


def refund(order_id: str, *lines: str) -> bytes:
    """A callback that refunds these lines of an order."""
    items = [{"product_id": line, "quantity": 1, "refunded": True} for line in lines]
    return json.dumps({**json.loads(status(order_id, "order_item_refund")), "items": items}).encode()
