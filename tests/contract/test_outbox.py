"""Alerts: written with their effect, sent to every channel at least once, always under the same idempotency key."""

import logging
from collections.abc import Sequence
from datetime import timedelta
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
    Receiver,
    all_channels_of,
    open_alert_worker,
)
from tests.support.ledger_fixture import HANDLERS, LedgerFixture, open_ledger_fixture
from workers.alerts.room import PARALLEL
from workers.handler import PermanentError, UnitOfWork

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise imports it


def test_an_alert_goes_to_the_log_the_webhook_and_apprise(
    alert_worker: AlertWorker, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    alert_worker.ledger_fixture.now = at(1)
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


def test_a_webhook_receiver_can_verify_the_signature_and_recognize_repeats(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
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


def test_a_failing_channel_is_retried_with_backoff_and_the_others_are_not_sent_twice(
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


def test_a_failing_apprise_channel_is_retried_and_the_webhook_is_not(alert_worker: AlertWorker, receiver: Receiver) -> None:
    alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
    receiver.answers[APPRISE] = 500
    alert_worker.run()
    assert alert_worker.row("apprise")["last_error"] == "Apprise could not deliver"
    receiver.answers[APPRISE] = 200
    alert_worker.run_after(timedelta(seconds=2))
    assert (len(receiver.at(APPRISE)), len(receiver.at(WEBHOOK))) == (2, 1)
    assert alert_worker.row("apprise")["sent_at"]


def test_an_unreachable_webhook_is_retried_and_its_url_is_not_shown(migrated_ledger_url: str, fake_valkey_url: str) -> None:
    address = {"ALERT_WEBHOOK_URL": "http://127.0.0.1:1/secret-path", "ALERT_WEBHOOK_SECRET": SECRET}
    with open_alert_worker(migrated_ledger_url, fake_valkey_url, **address) as alert_worker:
        alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
        alert_worker.run()
        row = alert_worker.row("webhook")
        assert row["last_error"] == "the webhook did not answer: ConnectError"
        assert row["sent_at"] is None


def test_an_alert_for_a_removed_channel_is_dropped_with_a_note(
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


def test_an_alert_for_a_missing_customer_is_sent_before_all_waiting_alerts(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
    webhook_alert_worker.ledger_fixture.apply("late_deliveries", *(late(number) for number in range(3 * PARALLEL)))
    webhook_alert_worker.ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1))
    webhook_alert_worker.run_after(timedelta(seconds=1))
    topics = [orjson.loads(post.body)["type"] for post in receiver.at(WEBHOOK)]
    assert len(topics) == 3 * PARALLEL + 1
    assert "customer_mia" in topics[:PARALLEL]


def test_a_failed_alert_does_not_delay_an_alert_without_attempts(webhook_alert_worker: AlertWorker, receiver: Receiver) -> None:
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


def test_an_event_without_effect_writes_no_alert(ledger_fixture: LedgerFixture) -> None:
    class Refuses:
        def apply(self, work: UnitOfWork, events: Sequence[Event]) -> None:
            HANDLERS["customer_mia"].apply(work, events)
            raise PermanentError("on second thoughts")

    with pytest.raises(PermanentError):
        ledger_fixture.ledger.apply(Refuses(), [event(Kind.CUSTOMER_MIA, 1)])
    assert ledger_fixture.rows("outbox") == []
    assert ledger_fixture.rows("customer_mia_alerts") == []


def test_an_alert_names_the_order_and_the_time_and_no_person(ledger_fixture: LedgerFixture) -> None:
    names: dict[str, Any] = {"number": "+31 6 1234", "fulfillment_type": "Jansen, Kade 1"}
    ledger_fixture.apply_each(event(Kind.CUSTOMER_MIA, 1, **names), event(Kind.LATE_DELIVERY, 2, promised_at=at(60), **names))
    said = {row["topic"]: orjson.loads(row["payload"]) for row in ledger_fixture.rows("outbox")}
    assert set(said["customer_mia"]) == {"provider", "order_id", "event_id", "occurred_at", "age_seconds"}
    assert set(said["late_delivery"]) == set(said["customer_mia"]) | {"promised_at", "expected_at", "minutes_late"}
    assert not any(name in str(ledger_fixture.rows("outbox")) for name in names.values())
