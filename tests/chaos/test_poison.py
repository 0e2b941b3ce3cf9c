"""An event that ends its worker is found and kept, and holds up no other; a worker that is merely killed blames nobody."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import create_engine, text

from schemas import keys
from schemas.failures import Failure, FailureState, Reason
from tests.support import deadly_handler, deadly_provider
from tests.support.event_sums import BUILT_IN, failures, sums
from tests.support.live_deployment import Worker
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import status
from workers.failures.failure_store import FailureStore

HANDLERS = [*BUILT_IN, "deadly"]
SEED = 20261125


class Supervised:
    """A worker that is started again whenever it ends, its handler `deadly`, and their Valkey and ledger."""

    def __init__(self, url: str, folder: Path, **environment: str) -> None:
        self.calls_log, database = folder / "calls.log", f"sqlite:///{folder / 'ledger.db'}"
        given = {"REDIS_URL": url, "DATABASE_URL": database, "HANDLER_MODULES": "tests.support.deadly_handler"}
        given |= {"DEADLY_LOG": str(self.calls_log), "PROVIDER_MODULES": "tests.support.deadly_provider"}
        given |= {"DEADLY_SECRETS": "the shared secret of a provider"}
        self.environment = given | environment
        self.worker = Worker("worker", folder, **self.environment)
        self.client: Any = redis.Redis.from_url(url)
        self.engine = create_engine(database)
        self.starts = 0
        with self.engine.begin() as connection:
            connection.execute(text(deadly_handler.TABLE))

    def append(self, body: bytes, provider: str = "instacart") -> str:
        return str(self.client.xadd(keys.INBOX, {keys.FIELD_PROVIDER: provider, keys.FIELD_BODY: body}).decode())

    def keep_running(self) -> None:
        if not self.worker.is_running:
            self.worker.start()
            self.starts += 1

    @property
    def applied(self) -> set[str]:
        with self.engine.connect() as connection:
            return set(connection.execute(text("SELECT order_id FROM deadly_orders")).scalars())

    @property
    def calls(self) -> Counter[str]:
        """How often the handler was called with each order."""
        lines = self.calls_log.read_text().splitlines() if self.calls_log.exists() else []
        return Counter(line.split()[1] for line in lines)

    @property
    def failures(self) -> dict[str, Failure]:
        return failures(self.client)

    def is_settled(self) -> bool:
        self.keep_running()
        looked = sums(self.client, HANDLERS)
        looked.check()
        return looked.is_settled

    def close(self) -> None:
        self.worker.discard()
        self.client.close()
        self.engine.dispose()


@contextmanager
def supervised(server: RealValkey, folder: Path, **environment: str) -> Iterator[Supervised]:
    made = Supervised(server.url, folder, **environment)
    try:
        yield made
        assert made.client.hgetall(keys.TRIED_ALONE) == {}
        if made.worker.is_running:
            made.worker.terminate()
            made.worker.wait()
    finally:
        made.close()


def test_events_that_end_their_process_become_failures_and_all_others_are_applied(
    real_server: RealValkey, tmp_path: Path
) -> None:
    orders = [f"p-{number}" for number in range(300)]
    orders[7], orders[100], orders[200] = poison = "exit-7", "segv-100", "system-exit-200"
    with supervised(real_server, tmp_path) as its:
        ids = {its.append(status(order)): order for order in orders}
        wait_for(lambda: its.is_settled() and len(its.failures) == 3, 60, "every event to have its outcome")
        assert its.applied == set(orders) - set(poison)
        found = {ids[failure.event_id]: failure for failure in its.failures.values()}
        assert set(found) == set(poison)
        for order, failure in found.items():
            assert (failure.reason, failure.state) == (Reason.KILLED_WORKER, FailureState.DEAD)
            assert order.encode() in failure.body
        assert its.starts <= 3, "one end of the worker for a batch that has such an event"
        starts = its.starts
        for order in ("exit-301", "p-302", "exit-303", "p-304"):
            its.append(status(order))
        wait_for(lambda: its.is_settled() and len(its.failures) == 5, 60, "those that come later to have their outcome")
        assert its.starts == starts, "the handler has shown what it can do: no worker ends for it again"
        assert {"p-302", "p-304"} <= its.applied
        _retry_in_vain(its, found["exit-7"])


def _retry_in_vain(its: Supervised, failure: Failure) -> None:
    """A person's retry ends an isolated process, counts, and leaves the failure dead; the worker goes on."""
    starts, store = its.starts, FailureStore(its.client)
    store.retry(failure.handler, failure.event_id, 1)
    wait_for(lambda: its.failures[failure.field].attempts == 1 and its.is_settled(), 30, "the retry to have been made")
    after = its.failures[failure.field]
    assert (after.reason, after.state, after.body) == (Reason.KILLED_WORKER, FailureState.DEAD, failure.body)
    assert its.starts == starts


def test_a_body_that_ends_the_process_which_decodes_it_becomes_a_failure(real_server: RealValkey, tmp_path: Path) -> None:
    with supervised(real_server, tmp_path) as its:
        orders = [f"d-{number}" for number in range(40)]
        orders[11] = "exit-11"
        ids = [its.append(deadly_provider.BODY % (number, order.encode()), "deadly") for number, order in enumerate(orders)]
        wait_for(lambda: its.is_settled() and its.failures, 60, "every event to have its outcome")
        (failure,) = its.failures.values()
        assert (failure.field, failure.reason, failure.state) == (
            f"dispatch:{ids[11]}",
            Reason.KILLED_WORKER,
            FailureState.DEAD,
        )
        assert b"exit-11" in failure.body
        looked = sums(its.client, HANDLERS)
        assert (looked.count("applied:timeline"), looked.count("undecodable")) == (39, 1)
        assert its.starts <= 3
        _retry_in_vain(its, failure)


@pytest.mark.parametrize("seconds", ["0", "0.05"])
def test_a_worker_that_is_killed_again_and_again_blames_nobody(real_valkey: RealValkey, tmp_path: Path, seconds: str) -> None:
    rng = random.Random(SEED)  # noqa: S311 - the same pauses in every run, as far as processes allow
    with supervised(real_valkey, tmp_path, DEADLY_SECONDS=seconds) as its:
        orders = [f"p-{number}" for number in range(150)]
        for order in orders:
            its.append(status(order))
        for _ in range(6):
            its.keep_running()
            calls = its.calls.total() + rng.randrange(1, 30)
            wait_for(lambda calls=calls: its.calls.total() >= calls or its.is_settled(), 60, "it to work")  # type: ignore[misc]
            its.worker.kill()
            assert its.failures == {}
            its.append(status(f"p-{len(orders)}"))
            orders.append(f"p-{len(orders)}")
        wait_for(its.is_settled, 60, "every event to have its outcome")
        assert its.failures == {}
        assert its.applied == set(orders)
        assert sums(its.client, HANDLERS).count("applied:deadly") == len(orders)


def test_a_handler_with_a_timeout_is_ended_and_only_the_event_that_hangs_fails(real_valkey: RealValkey, tmp_path: Path) -> None:
    orders = [f"p-{number}" for number in range(30)]
    orders[4] = "hang-4"
    with supervised(real_valkey, tmp_path, DEADLY_TIMEOUT="1") as its:
        for order in orders:
            its.append(status(order))
        wait_for(lambda: its.is_settled() and _is_dead(its), 60, "every event to have its outcome")
        (failure,) = its.failures.values()
        assert failure.message.startswith("HandlerTimeoutError: it took longer than 1 s")
        assert its.applied == set(orders) - {"hang-4"}
        assert its.starts == 1


def _is_dead(its: Supervised) -> bool:
    return [failure.state for failure in its.failures.values()] == [FailureState.DEAD]


def test_a_frozen_worker_that_resumes_changes_nothing(real_valkey: RealValkey, tmp_path: Path) -> None:
    """Its batch is claimed by the worker that took over after ten seconds; both have applied it, and it counts once."""
    with supervised(real_valkey, tmp_path, DEADLY_SECONDS="0.3") as its:
        orders = [f"p-{number}" for number in range(10)]
        for order in orders:
            its.append(status(order))
        its.keep_running()
        wait_for(lambda: its.calls.total() > 2, 60, "it to be at it")
        its.worker.freeze()
        other = Worker("other", tmp_path, **its.environment)
        try:
            other.start()
            wait_for(lambda: its.applied == set(orders), 60, "the other worker to have taken over")
            its.worker.resume()
            wait_for(its.is_settled, 30, "both to be done")
            other.terminate()
            other.wait()
        finally:
            other.discard()
        assert sums(its.client, HANDLERS).count("applied:deadly") == len(orders)
        assert its.failures == {}
