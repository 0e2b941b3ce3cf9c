"""Work starts without its message: when nobody answers it, when the broker is away; and never of a queue that is not consumed here."""

import socketserver
import threading
from collections.abc import Iterator

import pytest
from celery import Celery

from schemas import keys
from schemas.processes import NOTIFICATION_LIFETIME_MS, UNANSWERED_MS
from schemas.tasks import HOUSEKEEP_QUEUE, RETRY_QUEUE, broker_options, task_name
from tests.support.closing_server import hanging_up
from tests.support.event_sums import BUILT_IN
from tests.support.settings import LOOPBACK
from tests.support.stepped_deployment import SteppedDeployment
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, status
from tests.unit.failing_deployment import failed
from workers.broker import Broker
from workers.broker_watch import BrokerWatch
from workers.consumers.notifier import Notifier
from workers.contract_drift import DriftMonitor
from workers.failures.failure_store import LEASE_MS, FailureStore
from workers.failures.retry_scheduler import RetryScheduler
from workers.local_work import LocalWork
from workers.timer import Tick


class Process:
    """A worker process that consumes these queues, and records what it starts without a message."""

    def __init__(self, parts: WorkerParts, broker: Broker, *, without: str = "") -> None:
        self.ran = list[str]()
        self.stopping = threading.Event()
        self.broker, self.local = broker, LocalWork(lambda queue: queue != without)
        self.local.attach(
            self.ran.append, lambda handler, event_id: self.ran.append(f"{handler}:{event_id}"), list, self.stopping, 1
        )
        notifier = Notifier(broker, parts.store, self.local)
        scheduler = RetryScheduler(broker, FailureStore(parts.client), self.local)
        watch = BrokerWatch(broker, parts.store, "one@test")
        parts.store.try_notify(HOUSEKEEP_QUEUE, 60_000)
        self._tick = Tick(parts.store, notifier, scheduler, DriftMonitor(parts.client), BUILT_IN, self.local, watch)

    def tick(self) -> list[str]:
        """Everything that has been started after another tick."""
        self._tick.run_once(1_000_000)
        self.broker.flush()
        done = threading.Event()
        self.local._submit(done.set)
        assert done.wait(10) or self.stopping.is_set()
        return self.ran


@pytest.fixture
def process(worker_parts: WorkerParts) -> Iterator[Process]:
    process = Process(worker_parts, worker_parts.broker)
    yield process
    process.local.close()


def grow_old(parts: WorkerParts, queue: str) -> None:
    """Make the queue's notification as old as one that nobody answers."""
    assert parts.client.pexpire(keys.notified(queue), NOTIFICATION_LIFETIME_MS - UNANSWERED_MS)


def test_a_queue_whose_notification_nobody_answers_is_started_without_another_one(
    worker_parts: WorkerParts, process: Process
) -> None:
    worker_parts.append(status("a"))
    assert process.tick() == process.tick() == []
    grow_old(worker_parts, keys.DISPATCH)
    assert process.tick() == [keys.DISPATCH]
    assert worker_parts.notifications(keys.DISPATCH) == 1


def test_a_queue_that_a_person_has_cancelled_for_this_worker_is_neither_notified_nor_started(worker_parts: WorkerParts) -> None:
    process = Process(worker_parts, worker_parts.broker, without=keys.DISPATCH)
    worker_parts.append(status("a"))
    worker_parts.store.queues_to_notify([keys.DISPATCH])
    grow_old(worker_parts, keys.DISPATCH)
    assert process.tick() == []
    process.local.start(keys.DISPATCH)
    assert process.tick() == []
    assert worker_parts.notifications(keys.DISPATCH) == 0
    process.local.close()


def test_nothing_is_started_once_the_worker_stops(worker_parts: WorkerParts, process: Process) -> None:
    worker_parts.append(status("a"))
    process.tick()
    process.stopping.set()
    grow_old(worker_parts, keys.DISPATCH)
    process.local.start(keys.DISPATCH)
    assert process.local._threads is not None
    process.local._threads.shutdown(cancel_futures=False)
    assert process.ran == []


def test_without_a_broker_every_queue_with_work_is_started_after_one_vain_attempt(
    worker_parts: WorkerParts, caplog: pytest.LogCaptureFixture
) -> None:
    celery = Celery("curbside", set_as_current=False)
    with hanging_up() as (url, came):
        celery.conf.update(broker_options(url))
        process = Process(worker_parts, Broker(celery))
        worker_parts.append(status("a"))
        worker_parts.client.xadd(keys.todo("refunds"), {keys.FIELD_EVENT: "1-1"})
        assert set(process.tick()) == {keys.DISPATCH, "refunds"}
        process.ran.clear()
        assert set(process.tick()) == {keys.DISPATCH, "refunds"}, "again and again, since no mark says that it was answered"
        assert 1 <= len(came) <= 2, "nobody waits for a broker that is known to be away"
        said = worker_parts.client.hget(keys.UNREACHABLE, "worker one@test").decode()
        assert said == "the broker (ConnectionError)"
        assert caplog.text.count("the broker is unreachable (ConnectionError)") == 1
        process.local.close()
        process.broker.close()
    celery.close()


def test_a_broker_that_hangs_delays_nobody_who_sends(worker_parts: WorkerParts) -> None:
    """It takes the connection and never answers: the caller goes on while the message is still being sent."""
    celery = Celery("curbside", set_as_current=False)
    reached, let_go = threading.Event(), threading.Event()

    class Hanging(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            reached.set()
            let_go.wait(20)

    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Hanging) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        celery.conf.update(broker_options(f"redis://{LOOPBACK}:{server.server_address[1]}/0"))
        broker, given_back = Broker(celery), threading.Event()
        broker.send(task_name(keys.DISPATCH), keys.DISPATCH, given_back.set)
        assert reached.wait(10)
        assert not given_back.is_set(), "the caller is back, the message is not sent"
        let_go.set()
        assert given_back.wait(10)
        broker.close()
        server.shutdown()
        thread.join()
    celery.close()


def test_a_lease_has_one_attempt_however_many_messages_come(failing_deployment: SteppedDeployment) -> None:
    (event_id,) = failed(failing_deployment)
    failures = failing_deployment.failures
    (due,) = failures.take_due(failing_deployment.failures.get("refunds", event_id).next_at_ms)
    assert failures.not_begun([due]) == [due]
    assert failures.begin(due, due.next_at_ms)
    assert failures.not_begun([due]) == []
    assert not failures.begin(due, due.next_at_ms)
    assert failures.take_due(due.next_at_ms + LEASE_MS) == [], "the lease counts from the attempt's begin"
    assert failures.take_due(due.next_at_ms + LEASE_MS + 1) == [due]
    assert failures.begin(due, due.next_at_ms + LEASE_MS + 1), "a lost attempt is made again"


def test_a_process_that_does_not_work_retries_leases_none(
    worker_parts: WorkerParts, failing_deployment: SteppedDeployment
) -> None:
    failed(failing_deployment)
    process = Process(worker_parts, worker_parts.broker, without=RETRY_QUEUE)
    wait_for(lambda: process.tick() == [], what="a tick")
    assert not failing_deployment.client.exists(keys.IN_FLIGHT)
    process.local.close()
