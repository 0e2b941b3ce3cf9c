"""Leases of alerts: one worker sends an alert at a time; after its death another sends it again under the same key."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from schemas.events import Kind
from tests.contract.handler_events import event
from tests.support.alert_worker import (
    SECRET,
    WEBHOOK,
    AlertWorker,
    Post,
    Receiver,
    open_alert_worker,
    webhook_of,
)
from tests.support.postgresql_server import PostgresqlServer
from workers.errors import DependencyUnavailableError
from workers.ledger.unit_of_work import LEASE

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise imports it

DELIVER = """
import sys
from celery import Celery
from tests.support.settings import make_settings
from workers.broker import Broker
from workers.consumers.notifier import Notifier
from workers.local_work import LocalWork
from workers.alerts.channels import Channels
from workers.alerts.outbox_relay import OutboxRelay
from workers.ledger.ledger import Ledger
from workers.valkey.connection import connect
from workers.valkey.store import Store
database, valkey, url, secret = sys.argv[1:]
settings = make_settings(DATABASE_URL=database, ALERT_WEBHOOK_URL=url, ALERT_WEBHOOK_SECRET=secret)
store, celery = Store(connect(valkey)), Celery("test", broker="memory://", set_as_current=False)
OutboxRelay(Ledger(settings), store, Notifier(Broker(celery), store, LocalWork()), Channels(settings)).run()
"""


def test_a_leased_alert_is_not_sent_by_another_worker_before_its_lease_ends(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
    webhook_alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))

    def another_worker(_: Post) -> None:
        receiver.on_post = lambda post: None
        webhook_alert_worker.now += LEASE - timedelta(seconds=1)
        webhook_alert_worker.relay.run()
        assert len(receiver.posts) == 1

    receiver.on_post = another_worker
    webhook_alert_worker.run()
    assert len(receiver.posts) == 1
    assert webhook_alert_worker.row("webhook")["attempts"] == 1


def test_a_worker_killed_after_sending_causes_a_second_post_with_the_same_idempotency_key(
    webhook_alert_worker: AlertWorker, receiver: Receiver, migrated_ledger_url: str, fake_valkey_url: str
) -> None:
    webhook_alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
    command = [sys.executable, "-c", DELIVER, migrated_ledger_url, fake_valkey_url, receiver.url + WEBHOOK, SECRET]
    worker: list[subprocess.Popen[bytes]] = []

    def kill(_: Post) -> None:
        receiver.on_post = lambda post: None
        os.kill(worker[0].pid, signal.SIGKILL)
        worker[0].wait(10)

    receiver.on_post = kill
    worker.append(subprocess.Popen(command, cwd=ROOT))
    assert worker[0].wait(60) == -signal.SIGKILL
    row = webhook_alert_worker.row("webhook")
    assert row["sent_at"] is None
    webhook_alert_worker.run()
    assert len(receiver.posts) == 1
    assert webhook_alert_worker.store.outbox_due_at() == int(row["leased_until"].timestamp() * 1000)
    webhook_alert_worker.now = row["leased_until"]
    webhook_alert_worker.run()
    first, second = receiver.posts
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert webhook_alert_worker.row("webhook")["sent_at"]


def test_an_alert_that_becomes_due_while_others_are_sent_is_not_delayed(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
    webhook_alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
    receiver.answers[WEBHOOK] = 500
    receiver.on_post = lambda post: webhook_alert_worker.store.outbox_due(5)
    webhook_alert_worker.run()
    assert webhook_alert_worker.store.outbox_due_at() == 5


def test_a_database_outage_leaves_the_alert_due(
    postgresql: PostgresqlServer, postgresql_url: str, fake_valkey_url: str, receiver: Receiver
) -> None:
    with open_alert_worker(postgresql_url, fake_valkey_url, **webhook_of(receiver)) as alert_worker:
        alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
        receiver.on_post = lambda post: postgresql.kill()
        with pytest.raises(DependencyUnavailableError):
            alert_worker.run()
        assert alert_worker.store.outbox_due_at() is not None
        receiver.on_post = lambda post: None
        postgresql.start()
        alert_worker.run_after(LEASE)
        assert len({post.headers["webhook-id"] for post in receiver.posts}) == 1
        assert alert_worker.row("webhook")["sent_at"]
