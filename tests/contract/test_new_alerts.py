"""New alerts: sent by who wrote them, as soon as they are committed; by others only when that one is dead or has no room."""

import threading
from typing import Any

import orjson

from schemas.events import Kind
from tests.support.books import HANDLERS
from tests.support.events import event
from tests.support.office import WEBHOOK, Office
from tests.support.receiver import Post, Receiver
from tests.support.waiting import wait_for
from workers.alerts.outbox_relay import BATCH, FIRST_PAUSE, PARALLEL
from workers.ledger.unit_of_work import LEASE


def receiver_data(receiver: Receiver) -> list[dict[str, Any]]:
    """What each alert that the webhook got says."""
    return [orjson.loads(post.body)["data"] for post in receiver.at(WEBHOOK)]


def test_a_new_alert_is_sent_as_soon_as_it_is_written_and_by_nobody_else(webhook_office: Office, receiver: Receiver) -> None:
    webhook_office.report_missing(event(Kind.CUSTOMER_MIA, 1))
    webhook_office.run()  # another worker looks at once: it is not free
    for channel in ("webhook", "log"):
        webhook_office.sends(channel)
        assert webhook_office.row(channel)["attempts"] == 1
    assert webhook_office.row("webhook")["leased_until"] is None
    webhook_office.run_after(2 * LEASE)
    assert len(receiver.posts) == 1


def test_two_reports_of_an_order_at_once_are_one_alert_and_a_third_one_is_sent_nothing_of(
    webhook_office: Office, receiver: Receiver
) -> None:
    webhook_office.report_missing(event(Kind.CUSTOMER_MIA, 1), event(Kind.CUSTOMER_MIA, 2))
    webhook_office.sends()
    webhook_office.report_missing(event(Kind.CUSTOMER_MIA, 3))
    webhook_office.run_after(2 * LEASE)
    assert len(receiver.posts) == 1


def test_a_worker_killed_before_it_sends_a_new_alert_leaves_it_to_whoever_looks_when_the_lease_is_over(
    webhook_office: Office, receiver: Receiver
) -> None:
    report = event(Kind.CUSTOMER_MIA, 1)
    webhook_office.books.ledger.apply(HANDLERS["customer_mia"], [report], webhook_office.relay.capacity)
    webhook_office.report_missing(report)  # its event was not acknowledged, and is handled again
    assert webhook_office.store.outbox_due_at() == int(webhook_office.now.timestamp() * 1000)
    webhook_office.run()
    assert receiver.posts == []
    (lease,) = {row["leased_until"] for row in webhook_office.books.rows("outbox")}
    assert webhook_office.store.outbox_due_at() == int(lease.timestamp() * 1000)
    webhook_office.now = lease
    webhook_office.run()
    assert len(receiver.posts) == 1


def test_who_dies_after_the_acknowledgement_has_said_when_to_look_again(webhook_office: Office, receiver: Receiver) -> None:
    webhook_office.relay.close()  # nothing is sent any more
    webhook_office.report_missing(event(Kind.CUSTOMER_MIA, 1))
    assert webhook_office.store.outbox_due_at() == int((webhook_office.now + LEASE).timestamp() * 1000)
    assert receiver.posts == []


def test_a_new_alert_that_fails_is_tried_again_a_second_later(webhook_office: Office, receiver: Receiver) -> None:
    receiver.answers[WEBHOOK] = 500
    webhook_office.report_missing(event(Kind.CUSTOMER_MIA, 1))
    due = int((webhook_office.now + FIRST_PAUSE).timestamp() * 1000)
    wait_for(lambda: webhook_office.store.outbox_due_at() == due, 20, "the next try to be noted")
    receiver.answers[WEBHOOK] = 200
    webhook_office.run_after(FIRST_PAUSE)
    assert len(receiver.posts) == 2
    assert webhook_office.row("webhook")["attempts"] == 2


def test_more_alerts_than_there_is_room_for_wait_for_the_lane(webhook_office: Office, receiver: Receiver) -> None:
    reports = [event(Kind.CUSTOMER_MIA, 1, f"fc-{number}") for number in range(BATCH)]
    webhook_office.report_missing(*reports)
    assert webhook_office.store.outbox_due_at() == int(webhook_office.now.timestamp() * 1000)
    wait_for(lambda: len(receiver.posts) == BATCH // 2, 20, "as many as there is room for, on two channels")
    webhook_office.run()
    assert len({post.headers["webhook-id"] for post in receiver.posts}) == len(receiver.posts) == BATCH


def test_a_new_alert_whose_turn_comes_too_late_for_its_lease_is_left(webhook_office: Office, receiver: Receiver) -> None:
    free = threading.Event()

    def wait(_: Post) -> None:
        free.wait(20)

    receiver.on_post = wait
    first = [event(Kind.CUSTOMER_MIA, 1, f"first-{number}") for number in range(PARALLEL)]
    webhook_office.report_missing(*first)
    wait_for(lambda: webhook_office.relay.capacity == BATCH - PARALLEL, 20, "every thread to wait for the webhook")
    webhook_office.report_missing(event(Kind.CUSTOMER_MIA, 1, "last"))
    webhook_office.now += LEASE
    free.set()
    wait_for(lambda: webhook_office.relay.capacity == BATCH, 20, "all to be done with")
    assert {row["order_id"] for row in receiver_data(receiver)} == {each.order_ids[0] for each in first}
    webhook_office.run()
    assert [row["order_id"] for row in receiver_data(receiver)].count("last") == 1
