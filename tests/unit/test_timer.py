"""The timer notifies queues with entries that no consumer processes, and no others."""

import logging

import pytest

from schemas import keys
from schemas.tasks import DELIVER_QUEUE, HOUSEKEEP_QUEUE
from tests.support.event_sums import BUILT_IN
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, status
from workers import timer as timer_module
from workers.broker_watch import BrokerWatch
from workers.contract_drift import DriftMonitor
from workers.timer import Tick

NOW_MS = 1_000_000


def tick_of(worker_parts: WorkerParts) -> Tick:
    """A timer that has just seen to the periodic jobs."""
    worker_parts.store.try_notify(HOUSEKEEP_QUEUE, 60_000)
    return new_tick(worker_parts)


def new_tick(its: WorkerParts) -> Tick:
    watch = BrokerWatch(its.broker, its.store, "one@test")
    return Tick(its.store, its.notifier, its.scheduler, DriftMonitor(its.client), BUILT_IN, its.local, watch)


def notifications(worker_parts: WorkerParts) -> list[str]:
    return [queue for queue in (keys.DISPATCH, *BUILT_IN, DELIVER_QUEUE, HOUSEKEEP_QUEUE) if worker_parts.notifications(queue)]


def test_an_idle_system_sends_no_notification(worker_parts: WorkerParts) -> None:
    tick_of(worker_parts).run_once(NOW_MS)
    assert notifications(worker_parts) == []


def test_queues_with_undelivered_entries_are_notified(worker_parts: WorkerParts) -> None:
    worker_parts.append(status("a"))
    worker_parts.client.xadd(keys.todo("refunds"), {keys.FIELD_EVENT: "1-1"})
    tick = tick_of(worker_parts)
    tick.run_once(NOW_MS)
    tick.run_once(NOW_MS)
    assert notifications(worker_parts) == [keys.DISPATCH, "refunds"]
    assert worker_parts.notifications("refunds") == 1, "one notification is enough for a while"


def test_abandoned_entries_cause_a_notification_and_fresh_pending_ones_do_not(
    worker_parts: WorkerParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event_id,) = worker_parts.append(status("a"))
    worker_parts.read_new(consumer="dead")
    tick = tick_of(worker_parts)
    tick.run_once(NOW_MS)
    assert notifications(worker_parts) == []
    monkeypatch.setattr(timer_module, "CLAIM_IDLE_MS", 20)

    def is_notified() -> bool:
        tick.run_once(NOW_MS)
        return notifications(worker_parts) == [keys.DISPATCH]

    wait_for(is_notified, what="a notification for the abandoned entry")
    worker_parts.client.xack(keys.INBOX, keys.GROUP, event_id)


def test_a_queue_with_a_waiting_task_is_not_notified(worker_parts: WorkerParts) -> None:
    worker_parts.append(status("a"))
    worker_parts.store.set_waiter_flag(keys.DISPATCH, "somebody", 60_000)
    tick_of(worker_parts).run_once(NOW_MS)
    assert notifications(worker_parts) == []


@pytest.mark.parametrize(("due_in_ms", "expected"), [(-1, [DELIVER_QUEUE]), (0, [DELIVER_QUEUE]), (1, [])])
def test_the_outbox_queue_is_notified_when_alerts_are_due(
    worker_parts: WorkerParts, due_in_ms: int, expected: list[str]
) -> None:
    worker_parts.store.outbox_due(NOW_MS + due_in_ms)
    tick_of(worker_parts).run_once(NOW_MS)
    assert notifications(worker_parts) == expected


def test_housekeeping_and_the_outbox_check_are_scheduled_once_for_all_workers(
    worker_parts: WorkerParts,
) -> None:
    for _ in range(3):
        new_tick(worker_parts).run_once(NOW_MS)
    assert notifications(worker_parts) == [DELIVER_QUEUE, HOUSEKEEP_QUEUE]
    assert worker_parts.notifications(HOUSEKEEP_QUEUE) == worker_parts.notifications(DELIVER_QUEUE) == 1


def test_a_valkey_outage_is_logged_and_checked_again(
    real_valkey: RealValkey, real_worker_parts: WorkerParts, caplog: pytest.LogCaptureFixture
) -> None:
    tick = tick_of(real_worker_parts)
    real_valkey.stop()
    with caplog.at_level(logging.WARNING):
        tick.run_safely()
    assert "Valkey is unreachable (ConnectionError): work waits for it" in caplog.text
    real_valkey.start()
    real_worker_parts.append(status("a"))
    tick.run_safely()
    assert keys.DISPATCH in notifications(real_worker_parts)
