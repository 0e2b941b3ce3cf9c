"""New alerts are sent by the worker that wrote them, right after its commit; by others if it is dead or has no capacity."""

import threading
from typing import Any

import orjson

from schemas.events import Kind
from tests.contract.handler_events import event
from tests.support.alert_worker import WEBHOOK, AlertWorker, Post, Receiver
from tests.support.ledger_fixture import HANDLERS
from tests.support.waiting import wait_for
from workers.alerts.outbox_rows import FIRST_PAUSE
from workers.alerts.room import BATCH, PARALLEL
from workers.ledger.unit_of_work import LEASE


def receiver_data(receiver: Receiver) -> list[dict[str, Any]]:
    """What each alert that the webhook got says."""
    return [orjson.loads(post.body)["data"] for post in receiver.at(WEBHOOK)]


def test_a_new_alert_is_sent_right_after_its_commit_and_by_one_worker(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
    webhook_alert_worker.report_missing(event(Kind.CUSTOMER_MIA, 1))
    webhook_alert_worker.run()  # another worker looks at once: it is not free
    for channel in ("webhook", "log"):
        webhook_alert_worker.wait_until_sent(channel)
        assert webhook_alert_worker.row(channel)["attempts"] == 1
    assert webhook_alert_worker.row("webhook")["leased_until"] is None
    webhook_alert_worker.run_after(2 * LEASE)
    assert len(receiver.posts) == 1


def test_two_concurrent_reports_of_an_order_are_one_alert_and_a_third_sends_nothing(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
    webhook_alert_worker.report_missing(event(Kind.CUSTOMER_MIA, 1), event(Kind.CUSTOMER_MIA, 2))
    webhook_alert_worker.wait_until_sent()
    webhook_alert_worker.report_missing(event(Kind.CUSTOMER_MIA, 3))
    webhook_alert_worker.run_after(2 * LEASE)
    assert len(receiver.posts) == 1


def test_an_alert_of_a_worker_killed_before_sending_is_sent_by_another_after_its_lease(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
    report = event(Kind.CUSTOMER_MIA, 1)
    webhook_alert_worker.ledger_fixture.ledger.apply(HANDLERS["customer_mia"], [report], webhook_alert_worker.relay.capacity)
    webhook_alert_worker.report_missing(report)  # its event was not acknowledged, and is handled again
    assert webhook_alert_worker.store.outbox_due_at() == int(webhook_alert_worker.now.timestamp() * 1000)
    webhook_alert_worker.run()
    assert receiver.posts == []
    (lease,) = {row["leased_until"] for row in webhook_alert_worker.ledger_fixture.rows("outbox")}
    assert webhook_alert_worker.store.outbox_due_at() == int(lease.timestamp() * 1000)
    webhook_alert_worker.now = lease
    webhook_alert_worker.run()
    assert len(receiver.posts) == 1


def test_a_worker_that_dies_after_the_acknowledgement_has_recorded_when_the_alert_is_due(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
    webhook_alert_worker.relay.close()  # nothing is sent any more
    webhook_alert_worker.report_missing(event(Kind.CUSTOMER_MIA, 1))
    assert webhook_alert_worker.store.outbox_due_at() == int((webhook_alert_worker.now + LEASE).timestamp() * 1000)
    assert receiver.posts == []


def test_a_new_alert_that_fails_is_retried_after_a_second(webhook_alert_worker: AlertWorker, receiver: Receiver) -> None:
    receiver.answers[WEBHOOK] = 500
    webhook_alert_worker.report_missing(event(Kind.CUSTOMER_MIA, 1))
    due = int((webhook_alert_worker.now + FIRST_PAUSE).timestamp() * 1000)
    wait_for(lambda: webhook_alert_worker.store.outbox_due_at() == due, 20, "the next try to be noted")
    receiver.answers[WEBHOOK] = 200
    webhook_alert_worker.run_after(FIRST_PAUSE)
    assert len(receiver.posts) == 2
    assert webhook_alert_worker.row("webhook")["attempts"] == 2


def test_alerts_beyond_the_capacity_wait_for_the_outbox_queue(webhook_alert_worker: AlertWorker, receiver: Receiver) -> None:
    reports = [event(Kind.CUSTOMER_MIA, 1, f"fc-{number}") for number in range(2 * BATCH)]
    webhook_alert_worker.report_missing(*reports)
    assert webhook_alert_worker.store.outbox_due_at() == int(webhook_alert_worker.now.timestamp() * 1000)
    wait_for(lambda: len(receiver.posts) == BATCH, 20, "as many as the channel has room for")
    webhook_alert_worker.run()
    assert len({post.headers["webhook-id"] for post in receiver.posts}) == len(receiver.posts) == 2 * BATCH


def test_a_new_alert_is_not_sent_when_too_little_of_its_lease_is_left(
    webhook_alert_worker: AlertWorker, receiver: Receiver
) -> None:
    free = threading.Event()

    def wait(_: Post) -> None:
        free.wait(20)

    receiver.on_post = wait
    first = [event(Kind.CUSTOMER_MIA, 1, f"first-{number}") for number in range(PARALLEL)]
    webhook_alert_worker.report_missing(*first)
    wait_for(
        lambda: webhook_alert_worker.relay.capacity == {"log": BATCH, "webhook": BATCH - PARALLEL},
        20,
        "every thread to wait for the webhook",
    )
    webhook_alert_worker.report_missing(event(Kind.CUSTOMER_MIA, 1, "last"))
    webhook_alert_worker.now += LEASE
    free.set()
    wait_for(lambda: webhook_alert_worker.relay.capacity == {"log": BATCH, "webhook": BATCH}, 20, "all to be done with")
    assert {row["order_id"] for row in receiver_data(receiver)} == {each.order_ids[0] for each in first}
    webhook_alert_worker.run()
    assert [row["order_id"] for row in receiver_data(receiver)].count("last") == 1
