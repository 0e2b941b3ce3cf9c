"""A worker that delivers alerts, for tests: its clock in our hands, its channels at a receiver of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery

from schemas.events import Event
from tests.support.books import HANDLERS, Books, open_books
from tests.support.receiver import Receiver
from tests.support.settings import make_settings
from tests.support.waiting import wait_for
from workers.alerts.channels import Channels
from workers.alerts.outbox_relay import OutboxRelay
from workers.consumers.notifier import Notifier
from workers.valkey.connection import connect
from workers.valkey.store import Store

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiBhbGVydHM="
WEBHOOK, APPRISE = "/webhook", "/apprise"


class Office:
    """A worker that delivers, its clock in our hands."""

    def __init__(self, books: Books, valkey_url: str, environment: dict[str, str]) -> None:
        self.books, self.now = books, datetime.now(UTC) + timedelta(seconds=10)  # after what is written meanwhile
        self._client = connect(valkey_url)
        self.store, self.channels = Store(self._client), Channels(make_settings(**environment))
        notifier = Notifier(Celery("test", broker="memory://", set_as_current=False), self.store)
        self.relay = OutboxRelay(books.ledger, self.store, notifier, self.channels, lambda: self.now)
        self.run = self.relay.run

    def report_missing(self, *events: Event) -> None:
        """Handle reports of missing customers as a worker does."""
        look = self.relay.send_new(self.books.ledger.apply(HANDLERS["customer_mia"], events, self.relay.capacity))
        assert look is not None
        self.store.outbox_due(look)

    def sends(self, channel: str = "webhook") -> None:
        """Wait until the only alert has been sent there by itself."""
        wait_for(lambda: self.row(channel)["sent_at"], 20, "the alert to be sent and marked")

    def run_after(self, span: timedelta) -> None:
        """Look into the outbox when so much time has passed."""
        self.now += span
        self.run()

    def rows(self, channel: str) -> list[dict[str, Any]]:
        """The rows of a channel."""
        return [row for row in self.books.rows("outbox") if row["channel"].split(":")[0] == channel]

    def row(self, channel: str) -> dict[str, Any]:
        """The only row of a channel."""
        (row,) = self.rows(channel)
        return row

    def close(self) -> None:
        """Hang up."""
        self.relay.close()
        self.channels.close()
        self._client.close()


def webhook_of(receiver: Receiver) -> dict[str, str]:
    """Settings of a webhook to `receiver`."""
    return {"ALERT_WEBHOOK_URL": receiver.url + WEBHOOK, "ALERT_WEBHOOK_SECRET": SECRET}


def all_channels_of(receiver: Receiver) -> dict[str, str]:
    """The same, and of Apprise to `receiver`."""
    return webhook_of(receiver) | {"ALERT_URLS": receiver.url.replace("http://", "json://") + APPRISE}


@contextmanager
def open_office(books_url: str, valkey_url: str, **environment: str) -> Iterator[Office]:
    """An office over a ledger of its own."""
    with open_books(books_url, **environment) as books:
        office = Office(books, valkey_url, environment)
        try:
            yield office
        finally:
            office.close()


@pytest.fixture
def office(books_url: str, fake_valkey_url: str, receiver: Receiver) -> Iterator[Office]:
    """A worker that delivers to all three kinds of channel, the last two of them `receiver`."""
    with open_office(books_url, fake_valkey_url, **all_channels_of(receiver)) as office:
        yield office


@pytest.fixture
def webhook_office(books_url: str, fake_valkey_url: str, receiver: Receiver) -> Iterator[Office]:
    """A worker that delivers to the log and to a webhook."""
    with open_office(books_url, fake_valkey_url, **webhook_of(receiver)) as office:
        yield office
