"""A lock that another client of PostgreSQL holds for long holds up only the orders that it concerns, and status says so."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, TextClause, create_engine, text

from schemas import keys
from schemas.failures import FailureState
from tests.contract.handler_runner_bench import bench
from tests.support.event_sums import failures
from tests.support.ledger_fixture import HANDLERS, open_ledger_fixture
from tests.support.stepped_deployment import SteppedDeployment, open_stepped_deployment
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, status
from workers.errors import HeldUpError
from workers.ledger.tables import outbox
from workers.monitoring.status import read_status

MIA = HANDLERS["customer_mia"]


@contextmanager
def holding(url: str, *statements: TextClause) -> Iterator[Connection]:
    """Another client, idle in a transaction that holds locks."""
    engine = create_engine(url)
    with engine.connect() as connection:
        for each in statements:
            connection.execute(each)
        yield connection
        connection.rollback()
    engine.dispose()


def row(order: str) -> TextClause:
    return text("SELECT 1 FROM orders WHERE order_id = :order FOR UPDATE").bindparams(order=order)


@pytest.mark.parametrize("count", [2, 100])
def test_one_locked_order_is_set_aside_and_all_others_are_alerted(
    real_worker_parts: WorkerParts, postgresql_url: str, count: int
) -> None:
    with bench(real_worker_parts, postgresql_url, MIA) as it:
        it.feed(status("o1", "customer_mia"))
        it.work()
        with holding(postgresql_url, row("o1")):
            (first, *_) = it.feed(*(status(f"o{number}", "customer_mia") for number in range(1, count + 1)))
            it.work()
            assert it.counts() == {"routed": count + 1, "applied": count, "failed": 1, "waiting": 0}
        with open_ledger_fixture(postgresql_url) as ledger_fixture:
            assert len({each["idempotency_key"] for each in ledger_fixture.rows(outbox.name)}) == count
        (failure,) = failures(real_worker_parts.client).values()
        assert (failure.event_id, failure.state, failure.attempts) == (first, FailureState.RETRYING, 0)
        assert failure.next_at_ms - failure.last_at_ms <= 1_000
        noted = real_worker_parts.client.hget(keys.UNREACHABLE, "customer_mia.retry")
        assert b"another transaction holds it up (55P03 LockNotAvailable)" in noted
        since = int(real_worker_parts.client.hget(keys.UNREACHABLE_SINCE, "customer_mia.retry"))
        assert since == failure.first_at_ms


def test_several_locked_orders_are_set_aside(real_worker_parts: WorkerParts, postgresql_url: str) -> None:
    with bench(real_worker_parts, postgresql_url, MIA) as it:
        it.feed(*(status(f"o{number}", "customer_mia") for number in range(5)))
        it.work()
        with holding(postgresql_url, *map(row, ("o0", "o2", "o4"))):
            it.feed(*(status(f"o{number}", "customer_mia") for number in range(60)))
            it.work()
        assert it.counts() == {"routed": 65, "applied": 62, "failed": 3, "waiting": 0}
        assert {each.order_ids for each in failures(real_worker_parts.client).values()} == {("o0",), ("o2",), ("o4",)}


@pytest.mark.parametrize("count", [1, 100])
def test_a_locked_table_holds_the_batch_and_makes_no_failure_for_each_event(
    real_worker_parts: WorkerParts, postgresql_url: str, count: int
) -> None:
    with bench(real_worker_parts, postgresql_url, MIA) as it:
        it.feed(status("first", "customer_mia"))
        it.work()
        with holding(postgresql_url, text("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")):
            it.feed(*(status(f"o{number}", "customer_mia") for number in range(count)))
            with pytest.raises(HeldUpError):
                it.work()
        assert it.counts() == {"routed": count + 1, "applied": 1, "failed": 0, "waiting": count}
        it.work_again()
        assert it.counts() == {"routed": count + 1, "applied": count + 1, "failed": 0, "waiting": 0}


def test_the_event_that_was_set_aside_is_applied_when_the_lock_is_released(real_valkey_url: str, postgresql_url: str) -> None:
    with open_stepped_deployment(real_valkey_url, postgresql_url, [MIA]) as deployment:
        mia = [status(f"o{number}", "customer_mia") for number in range(3)]
        _work(deployment, mia[0])
        with holding(postgresql_url, row("o0")):
            _work(deployment, status("o0", "customer_mia"), *mia[1:])
            assert deployment.sums.counters["applied:customer_mia"] == 3
            assert len(deployment.run_due_retries()) == 1, "tried, and still held up"
            (failure,) = failures(deployment.client).values()
            assert (failure.attempts, failure.away, failure.state) == (0, 2, FailureState.RETRYING)
            found = read_status(deployment.client, deployment.ledger_fixture.ledger, ["customer_mia"])
            assert "55P03" in found.unreachable["customer_mia.retry"]
            assert found.unreachable_since["customer_mia.retry"].timestamp() * 1000 == failure.first_at_ms
        assert deployment.run_retries_until_settled() == ["applied"]
        assert failures(deployment.client) == {}
        assert not deployment.client.exists(keys.UNREACHABLE, keys.UNREACHABLE_SINCE)


def _work(deployment: SteppedDeployment, *bodies: bytes) -> None:
    for each in bodies:
        deployment.append(each)
    deployment.dispatch()
    deployment.handle()


def test_a_deadlock_with_another_client_costs_one_more_try(real_worker_parts: WorkerParts, postgresql_url: str) -> None:
    with bench(real_worker_parts, postgresql_url, MIA) as it:
        it.feed(status("a", "customer_mia"), status("b", "customer_mia"))
        it.work()
        it.feed(status("a", "customer_mia"), status("b", "customer_mia"))
        with holding(postgresql_url, text("SET deadlock_timeout = '10s'"), row("b")) as other:
            thread = threading.Thread(target=it.work)
            thread.start()
            wait_for(lambda: _is_waiting(postgresql_url), what="the handler to wait for the second order")
            other.execute(text("SET LOCAL lock_timeout = '20s'"))
            other.execute(row("a"))
            other.rollback()
            thread.join(20)
        assert it.counts() == {"routed": 4, "applied": 4, "failed": 0, "waiting": 0}


def _is_waiting(url: str) -> bool:
    engine = create_engine(url)
    with engine.connect() as connection:
        waiting = connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    engine.dispose()
    return bool(waiting)
