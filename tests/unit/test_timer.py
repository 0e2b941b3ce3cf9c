"""The timer rings for what nobody works on, and for nothing else."""

import logging
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from celery import Celery

from schemas import keys
from schemas.tasks import DELIVER_QUEUE, HOUSEKEEP_QUEUE, broker_options
from tests.support.outcomes import BUILT_IN
from tests.support.parts import Parts, status
from tests.support.ports import LOOPBACK
from tests.support.valkey import RealValkey
from tests.support.waiting import wait_for
from workers import timer as timer_module
from workers.consumers.notifier import Notifier
from workers.contract_drift import DriftMonitor
from workers.timer import Tick

NOW_MS = 1_000_000


def tick_of(parts: Parts) -> Tick:
    """A timer that has just seen to the periodic jobs."""
    parts.store.try_notify(HOUSEKEEP_QUEUE, 60_000)
    return Tick(parts.store, parts.notifier, parts.scheduler, DriftMonitor(parts.client), BUILT_IN)


def rung(parts: Parts) -> list[str]:
    return [queue for queue in (keys.DISPATCH, *BUILT_IN, DELIVER_QUEUE, HOUSEKEEP_QUEUE) if parts.rung(queue)]


def test_a_quiet_system_rings_for_nothing(parts: Parts) -> None:
    tick_of(parts).run_once(NOW_MS)
    assert rung(parts) == []


def test_lanes_with_entries_that_nobody_took_are_rung(parts: Parts) -> None:
    parts.append(status("a"))
    parts.client.xadd(keys.todo("refunds"), {keys.FIELD_EVENT: "1-1"})
    tick = tick_of(parts)
    tick.run_once(NOW_MS)
    tick.run_once(NOW_MS)
    assert rung(parts) == [keys.DISPATCH, "refunds"]
    assert parts.rung("refunds") == 1, "one bell is enough while it is fresh"


def test_entries_that_a_dead_worker_took_are_rung_for_and_those_in_hand_are_not(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event_id,) = parts.append(status("a"))
    parts.take(consumer="dead")
    tick = tick_of(parts)
    tick.run_once(NOW_MS)
    assert rung(parts) == []
    monkeypatch.setattr(timer_module, "CLAIM_IDLE_MS", 20)

    def is_rung() -> bool:
        tick.run_once(NOW_MS)
        return rung(parts) == [keys.DISPATCH]

    wait_for(is_rung, what="a bell for the abandoned entry")
    parts.client.xack(keys.INBOX, keys.GROUP, event_id)


def test_a_lane_on_which_a_task_waits_is_not_rung(parts: Parts) -> None:
    parts.append(status("a"))
    parts.store.set_waiter_flag(keys.DISPATCH, "somebody", 60_000)
    tick_of(parts).run_once(NOW_MS)
    assert rung(parts) == []


@pytest.mark.parametrize(("due_in_ms", "expected"), [(-1, [DELIVER_QUEUE]), (0, [DELIVER_QUEUE]), (1, [])])
def test_alerts_are_rung_for_when_they_are_due(parts: Parts, due_in_ms: int, expected: list[str]) -> None:
    parts.store.outbox_due(NOW_MS + due_in_ms)
    tick_of(parts).run_once(NOW_MS)
    assert rung(parts) == expected


def test_housekeeping_and_a_look_at_the_outbox_come_once_in_a_while_from_all_workers_together(parts: Parts) -> None:
    for _ in range(3):
        Tick(parts.store, parts.notifier, parts.scheduler, DriftMonitor(parts.client), BUILT_IN).run_once(NOW_MS)
    assert rung(parts) == [DELIVER_QUEUE, HOUSEKEEP_QUEUE]
    assert parts.rung(HOUSEKEEP_QUEUE) == parts.rung(DELIVER_QUEUE) == 1


def test_a_valkey_that_is_away_is_logged_and_looked_at_again(
    real_valkey: RealValkey, real_parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    tick = tick_of(real_parts)
    real_valkey.stop()
    with caplog.at_level(logging.WARNING):
        tick.run_safely()
    assert "timer: Valkey is unreachable" in caplog.text
    real_valkey.start()
    real_parts.append(status("a"))
    tick.run_safely()
    assert keys.DISPATCH in rung(real_parts)


@contextmanager
def hanging_up() -> Iterator[tuple[str, list[object]]]:
    """A broker that hangs up on everybody, and a list that gets whoever came."""
    came: list[object] = []

    class HangUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            came.append(self.client_address)

    with socketserver.ThreadingTCPServer((LOOPBACK, 0), HangUp) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"redis://{LOOPBACK}:{server.server_address[1]}/0", came
        server.shutdown()
        thread.join()


def test_a_broker_that_is_away_is_logged_and_asked_twice_for_each_doorbell_at_the_most(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    celery = Celery("curbside", set_as_current=False)
    parts.append(status("a"))
    with hanging_up() as (broker, came):
        celery.conf.update(broker_options(broker))
        Tick(parts.store, Notifier(celery, parts.store), parts.scheduler, DriftMonitor(parts.client), BUILT_IN).run_once(NOW_MS)
    assert 3 <= len(came) <= 6, "three doorbells, none of which is worth waiting for"
    assert "notification of dispatch not sent: ConnectionError; a timer sends it again" in caplog.text
    celery.close()
