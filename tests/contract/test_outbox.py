"""Alerts: written with the effect they tell of, sent to every channel at least once, always under the same key."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook

from schemas.events import Event, Kind
from tests.contract.handler_events import ORDER, at, event
from tests.support.alert_worker import (
    APPRISE,
    SECRET,
    WEBHOOK,
    AlertWorker,
    Post,
    Receiver,
    all_channels_of,
    open_alert_worker,
    webhook_of,
)
from tests.support.ledger_fixture import HANDLERS, LedgerFixture, open_ledger_fixture
from tests.support.postgresql_server import PostgresqlServer
from workers.alerts.outbox_relay import PARALLEL
from workers.errors import DependencyUnavailableError
from workers.handler import PermanentError, UnitOfWork
from workers.ledger.unit_of_work import LEASE

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise imports it

DELIVER = """
import sys
from celery import Celery
from tests.support.settings import make_settings
from workers.consumers.notifier import Notifier
from workers.alerts.channels import Channels
from workers.alerts.outbox_relay import OutboxRelay
from workers.ledger.ledger import Ledger
from workers.valkey.connection import connect
from workers.valkey.store import Store
database, valkey, url, secret = sys.argv[1:]
settings = make_settings(DATABASE_URL=database, ALERT_WEBHOOK_URL=url, ALERT_WEBHOOK_SECRET=secret)
store, celery = Store(connect(valkey)), Celery("test", broker="memory://", set_as_current=False)
OutboxRelay(Ledger(settings), store, Notifier(celery, store), Channels(settings)).run()
"""


def test_an_alert_goes_to_the_log_the_webhook_and_apprise(
    alert_worker: AlertWorker, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
    with caplog.at_level(logging.WARNING, "curbside.alerts"):
        alert_worker.run()
    title = f"Customer of order {ORDER} cannot be found"
    assert [record.getMessage() for record in caplog.records if record.name == "curbside.alerts"] == [
        f"ALERT customer_mia: {title}"
    ]
    assert len(receiver.at(WEBHOOK)) == 1
    (notice,) = receiver.at(APPRISE)
    assert orjson.loads(notice.body)["title"] == f"customer_mia: {title}"
    assert all(row["sent_at"] and not row["dropped"] for row in alert_worker.ledger_fixture.rows("outbox"))
    alert_worker.run()
    assert len(receiver.posts) == 2


def test_who_gets_the_webhook_can_verify_it_and_tell_repeats(webhook_alert_worker: AlertWorker, receiver: Receiver) -> None:
    report = event(Kind.CUSTOMER_MIA, 1)
    webhook_alert_worker.ledger_fixture.apply_each(report)
    receiver.answers[WEBHOOK] = 500
    webhook_alert_worker.run()
    receiver.answers[WEBHOOK] = 200
    webhook_alert_worker.run_after(timedelta(seconds=2))
    first, second = receiver.at(WEBHOOK)
    for post in (first, second):
        said = Webhook(SECRET).verify(post.body, post.headers)
        assert said["type"] == "customer_mia"
        assert said["data"]["order_id"] == ORDER
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == f"customer_mia:instacart:{ORDER}:{report.identity}"
    assert first.body == second.body


@pytest.mark.parametrize("order", ["🛒 1", "a\r\nb: c", "1.5", "x" * 255])
def test_any_order_id_fits_the_webhook_s_headers(webhook_alert_worker: AlertWorker, receiver: Receiver, order: str) -> None:
    webhook_alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1, order))
    webhook_alert_worker.run()
    (post,) = receiver.at(WEBHOOK)
    assert Webhook(SECRET).verify(post.body, post.headers)["data"]["order_id"] == order
    assert "." not in post.headers["webhook-id"]
    assert webhook_alert_worker.row("webhook")["sent_at"]
    assert "\n" not in webhook_alert_worker.row("log")["title"]


def test_a_channel_that_fails_is_tried_at_growing_pauses_and_the_others_are_not_sent_twice(
    alert_worker: AlertWorker, receiver: Receiver
) -> None:
    alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
    receiver.answers[WEBHOOK] = 500
    pauses = []
    for _ in range(11):
        alert_worker.run()
        pauses.append((alert_worker.row("webhook")["due_at"] - alert_worker.now).total_seconds())
        assert alert_worker.store.outbox_due_at() == int(alert_worker.row("webhook")["due_at"].timestamp() * 1000)
        alert_worker.run()
        alert_worker.now = alert_worker.row("webhook")["due_at"]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert len(receiver.at(WEBHOOK)) == 11
    assert len(receiver.at(APPRISE)) == 1
    row = alert_worker.row("webhook")
    assert (row["attempts"], row["sent_at"]) == (11, None)
    assert row["last_error"] == "the webhook answered 500"


def test_apprise_that_fails_is_tried_again_and_the_webhook_is_not(alert_worker: AlertWorker, receiver: Receiver) -> None:
    alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
    receiver.answers[APPRISE] = 500
    alert_worker.run()
    assert alert_worker.row("apprise")["last_error"] == "Apprise could not deliver"
    receiver.answers[APPRISE] = 200
    alert_worker.run_after(timedelta(seconds=2))
    assert (len(receiver.at(APPRISE)), len(receiver.at(WEBHOOK))) == (2, 1)
    assert alert_worker.row("apprise")["sent_at"]


def test_a_webhook_that_nobody_answers_is_tried_again_and_its_address_is_not_shown(
    migrated_ledger_url: str, fake_valkey_url: str
) -> None:
    address = {"ALERT_WEBHOOK_URL": "http://127.0.0.1:1/secret-path", "ALERT_WEBHOOK_SECRET": SECRET}
    with open_alert_worker(migrated_ledger_url, fake_valkey_url, **address) as alert_worker:
        alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
        alert_worker.run()
        row = alert_worker.row("webhook")
        assert row["last_error"] == "the webhook did not answer: ConnectError"
        assert row["sent_at"] is None


def test_a_channel_that_is_no_longer_set_up_is_dropped_and_noted(
    migrated_ledger_url: str, fake_valkey_url: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with open_ledger_fixture(migrated_ledger_url, **all_channels_of(receiver)) as ledger_fixture:
        ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
    with open_alert_worker(migrated_ledger_url, fake_valkey_url) as alert_worker:
        alert_worker.run()
        assert [row["dropped"] for row in alert_worker.ledger_fixture.rows("outbox")] == [True, False, True]
        assert alert_worker.row("webhook")["last_error"] == "webhook is no longer set up"
        assert alert_worker.store.outbox_due_at() is None
    assert "alert dropped: webhook is no longer set up" in caplog.text
    assert receiver.posts == []


def late(number: int) -> Event:
    return event(Kind.LATE_DELIVERY, 1, f"late-{number}", promised_at=at(60))


def test_a_customer_that_cannot_be_found_goes_before_all_that_waits(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
    webhook_alert_worker.ledger_fixture.apply("late_deliveries", *(late(number) for number in range(3 * PARALLEL)))
    webhook_alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
    webhook_alert_worker.run_after(timedelta(seconds=1))
    topics = [orjson.loads(post.body)["type"] for post in receiver.at(WEBHOOK)]
    assert len(topics) == 3 * PARALLEL + 1
    assert "customer_mia" in topics[:PARALLEL]


def test_what_failed_before_does_not_hold_up_what_was_never_tried(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
    webhook_alert_worker.ledger_fixture.apply("late_deliveries", *(late(number) for number in range(3 * PARALLEL)))
    receiver.answers[WEBHOOK] = 503
    webhook_alert_worker.run_after(timedelta(seconds=1))
    receiver.posts.clear()
    receiver.answers.clear()
    webhook_alert_worker.ledger_fixture.apply("late_deliveries", late(99))
    webhook_alert_worker.run_after(timedelta(seconds=5))
    orders = [orjson.loads(post.body)["data"]["order_id"] for post in receiver.at(WEBHOOK)]
    assert len(orders) == 3 * PARALLEL + 1
    assert "late-99" in orders[:PARALLEL]


def test_an_alert_on_its_way_is_not_sent_by_another_worker_until_its_lease_is_over(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
    webhook_alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))

    def another_worker(_: Post) -> None:
        receiver.on_post = lambda post: None
        webhook_alert_worker.run_after(LEASE - timedelta(seconds=1))
        assert len(receiver.posts) == 1

    receiver.on_post = another_worker
    webhook_alert_worker.run()
    assert len(receiver.posts) == 1
    assert webhook_alert_worker.row("webhook")["attempts"] == 1


def test_a_worker_killed_between_sending_and_noting_it_leads_to_a_second_post_under_the_same_key(
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


def test_an_alert_announced_while_others_are_sent_is_not_put_off(webhook_alert_worker: AlertWorker, receiver: Receiver) -> None:
    webhook_alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
    receiver.answers[WEBHOOK] = 500
    receiver.on_post = lambda post: webhook_alert_worker.store.outbox_due(5)
    webhook_alert_worker.run()
    assert webhook_alert_worker.store.outbox_due_at() == 5


def test_with_the_database_away_the_alert_stays_due(
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


def test_no_effect_no_alert(ledger_fixture: LedgerFixture) -> None:
    class Refuses:
        def apply(self, work: UnitOfWork, events: Sequence[Event]) -> None:
            HANDLERS["customer_mia"].apply(work, events)
            raise PermanentError("on second thoughts")

    with pytest.raises(PermanentError):
        ledger_fixture.ledger.apply(Refuses(), [event(Kind.CUSTOMER_MIA, 1)], PARALLEL)
    assert ledger_fixture.rows("outbox") == []
    assert ledger_fixture.rows("customer_mia_alerts") == []


def test_an_alert_says_which_order_and_when_and_nothing_of_a_person(ledger_fixture: LedgerFixture) -> None:
    names: dict[str, Any] = {"number": "+31 6 1234", "fulfillment_type": "Jansen, Kade 1"}
    ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1, **names), event(Kind.LATE_DELIVERY, 2, promised_at=at(60), **names))
    said = {row["topic"]: orjson.loads(row["payload"]) for row in ledger_fixture.rows("outbox")}
    assert set(said["customer_mia"]) == {"provider", "order_id", "event_id", "occurred_at"}
    assert set(said["late_delivery"]) == set(said["customer_mia"]) | {"promised_at", "expected_at", "minutes_late"}
    assert not any(name in str(ledger_fixture.rows("outbox")) for name in names.values())
