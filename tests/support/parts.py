"""The parts that workers are made of, on the Valkey of a test: store, bells, and the providers' side of the inbox by hand."""

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
from tests.support.outcomes import BUILT_IN, Sums, sums
from tests.support.valkey import broker_of
from workers.consumers.notifier import Notifier
from workers.failures.failure_store import FailureStore
from workers.failures.retry_scheduler import RetryScheduler
from workers.valkey.connection import connect
from workers.valkey.entries import Entry
from workers.valkey.store import Store

_NUMBERS = itertools.count(1)


class Parts:
    """One worker's connections."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Any = connect(url)
        self.store = Store(self.client)
        self._celery = Celery("curbside", set_as_current=False)
        self._celery.conf.update(broker_options(broker_of(url)))
        self.notifier = Notifier(self._celery, self.store)
        self.scheduler = RetryScheduler(self._celery, FailureStore(self.client))
        self._broker = redis.Redis.from_url(broker_of(url))

    def append(self, *bodies: bytes, provider: str = Provider.INSTACART) -> list[str]:
        """Append bodies to the inbox, as the ingress does; their event ids."""
        return [
            self.client.xadd(keys.INBOX, {keys.FIELD_PROVIDER: provider, keys.FIELD_BODY: body}).decode() for body in bodies
        ]

    def take(self, stream: str = keys.INBOX, consumer: str = "one", count: int = 1000) -> list[Entry]:
        """Take all new entries of a stream for a consumer."""
        self.store.ensure_groups([stream])
        return self.store.read(stream, consumer, count)

    def waiting_for(self, handler: str) -> list[str]:
        """The event ids of a handler's claim checks."""
        checks = [fields[keys.FIELD_EVENT].decode() for _, fields in self.client.xrange(keys.todo(handler))]
        return [event_id for check in checks for event_id in check.split()]

    def sums(self, handlers: Sequence[str] = BUILT_IN) -> Sums:
        """A look at the sums, which hold at every moment."""
        looked = sums(self.client, handlers)
        looked.check()
        return looked

    def rung(self, queue: str) -> int:
        """How many doorbells of a lane wait at the broker."""
        return int(self._broker.llen(f"curbside:{queue_name(queue)}"))

    def close(self) -> None:
        """Hang up."""
        self._broker.close()
        self.client.close()
        self._celery.close()


@pytest.fixture
def parts(valkey_url: str) -> Iterator[Parts]:
    """On the fake and on the real Valkey."""
    made = Parts(valkey_url)
    yield made
    made.close()


@pytest.fixture
def real_parts(real_valkey_url: str) -> Iterator[Parts]:
    """On the real Valkey."""
    made = Parts(real_valkey_url)
    yield made
    made.close()


def status(order_id: str, event: str = "picking", second: int | None = None) -> bytes:
    """A callback that says an order's status; each is news, since its time is new, unless a second of the day is given."""
    number = next(_NUMBERS) if second is None else second
    time = f"2026-03-02T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
    return json.dumps({"event": f"fulfillment.{event}", "order_id": order_id, "timestamp": time}).encode()


def refund(order_id: str, *lines: str) -> bytes:
    """A callback that says which lines of an order are refunded."""
    items = [{"product_id": line, "quantity": 1, "refunded": True} for line in lines]
    return json.dumps({**json.loads(status(order_id, "order_item_refund")), "items": items}).encode()
