"""An outbox relay whose clock the test sets, and an HTTP server that receives its alerts."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from celery import Celery

from schemas.events import Event
from tests.support.ledger_fixture import HANDLERS, LedgerFixture, open_ledger_fixture
from tests.support.settings import LOOPBACK, make_settings
from tests.support.waiting import wait_for
from workers.alerts.channels import Channels
from workers.alerts.outbox_relay import OutboxRelay
from workers.alerts.room import BATCH
from workers.broker import Broker
from workers.consumers.notifier import Notifier
from workers.local_work import LocalWork
from workers.valkey.connection import connect
from workers.valkey.store import Store

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiBhbGVydHM="
WEBHOOK, APPRISE = "/webhook", "/apprise"


@dataclass(frozen=True)
class Post:
    """One request: header names in lower case."""

    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Receiver:
    """The posts received. `answers` gives the status for a path (default 204); `on_post` is called before the answer."""

    url: str
    posts: list[Post] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    on_post: Callable[[Post], None] = lambda post: None

    def at(self, path: str) -> list[Post]:
        """What was posted to this path, in order of arrival."""
        return [post for post in self.posts if post.path == path]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver, served in a thread."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            post = Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            with lock:
                kept.posts.append(post)
            kept.on_post(post)
            self.send_response(kept.answers.get(self.path, 204))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    kept = Receiver(f"http://{LOOPBACK}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="receiver")
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP server that records the alerts posted to it."""
    with receiving() as receiver:
        yield receiver


class AlertWorker:
    """An outbox relay over a ledger and a Valkey. `now` is its clock."""

    def __init__(self, ledger_fixture: LedgerFixture, valkey_url: str, environment: dict[str, str]) -> None:
        self.ledger_fixture = ledger_fixture
        self.now = datetime.now(UTC) + timedelta(seconds=10)  # later than everything the test writes
        self._client = connect(valkey_url)
        self.store = Store(self._client)
        broker = Broker(Celery("test", broker="memory://", set_as_current=False))
        notifier, channels = Notifier(broker, self.store, LocalWork()), Channels(make_settings(**environment))
        self.relay = OutboxRelay(ledger_fixture.ledger, self.store, notifier, channels, lambda: self.now)

    def run(self) -> None:
        """Run the relay, and wait for what it still sends."""
        self.relay.run()
        wait_for(lambda: set(self.relay.capacity.values()) == {BATCH}, 20, "every alert to be done with")

    def report_missing(self, *events: Event) -> None:
        """Apply events of missing customers and send their alerts, as a worker does."""
        due = self.relay.send_new(
            self.ledger_fixture.ledger.apply(HANDLERS["customer_mia"], events, self.relay.capacity).alerts
        )
        assert due is not None
        self.store.outbox_due(due)

    def wait_until_sent(self, channel: str = "webhook") -> None:
        """Wait until the relay has sent the only alert to this channel."""
        wait_for(lambda: self.row(channel)["sent_at"], 20, "the alert to be sent and marked")

    def run_after(self, span: timedelta) -> None:
        """Advance the clock by `span` and run the relay."""
        self.now += span
        self.run()

    def rows(self, channel: str) -> list[dict[str, Any]]:
        """The outbox rows of a channel."""
        return [row for row in self.ledger_fixture.rows("outbox") if row["channel"].split(":")[0] == channel]

    def row(self, channel: str) -> dict[str, Any]:
        """The only outbox row of a channel."""
        (row,) = self.rows(channel)
        return row

    def close(self) -> None:
        """Close the connections."""
        self.relay.close()
        self._client.close()


def webhook_of(receiver: Receiver) -> dict[str, str]:
    """Settings of a webhook channel to `receiver`."""
    return {"ALERT_WEBHOOK_URL": receiver.url + WEBHOOK, "ALERT_WEBHOOK_SECRET": SECRET}


def all_channels_of(receiver: Receiver) -> dict[str, str]:
    """Settings of a webhook channel and an Apprise channel to `receiver`."""
    return webhook_of(receiver) | {"ALERT_URLS": receiver.url.replace("http://", "json://") + APPRISE}


@contextmanager
def open_alert_worker(migrated_ledger_url: str, valkey_url: str, **environment: str) -> Iterator[AlertWorker]:
    """An alert worker over this ledger, closed on exit."""
    with open_ledger_fixture(migrated_ledger_url, **environment) as ledger_fixture:
        alert_worker = AlertWorker(ledger_fixture, valkey_url, environment)
        try:
            yield alert_worker
        finally:
            alert_worker.close()


@pytest.fixture
def alert_worker(migrated_ledger_url: str, fake_valkey_url: str, receiver: Receiver) -> Iterator[AlertWorker]:
    """An alert worker with the channels log, webhook and Apprise; the last two lead to `receiver`."""
    with open_alert_worker(migrated_ledger_url, fake_valkey_url, **all_channels_of(receiver)) as alert_worker:
        yield alert_worker


@pytest.fixture
def webhook_alert_worker(migrated_ledger_url: str, fake_valkey_url: str, receiver: Receiver) -> Iterator[AlertWorker]:
    """An alert worker with the channels log and webhook."""
    with open_alert_worker(migrated_ledger_url, fake_valkey_url, **webhook_of(receiver)) as alert_worker:
        yield alert_worker
