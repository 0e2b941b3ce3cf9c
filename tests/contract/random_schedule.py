"""A random scheduler of everything that workers and operators do, in one process, on a real Valkey and a real ledger.

Five workers, three of them under one name, read, claim and process batches in any order. Each may be killed at any command to
Valkey or before any commit in SQL, lose the reply of a command, or hold a batch while others take it over and handle it. Meanwhile
operators retry, discard and replay, a handler has a bug for some orders, and the inbox is trimmed as far as it may be. Everything
comes from one random generator, so a seed names a run.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from sqlalchemy import event as sqlalchemy_event

from schemas import keys
from schemas.failures import Failure, FailureState
from tests.support.event_sums import failures
from tests.support.faulty_connection import Faults, KilledError, connect_with
from tests.support.stepped_deployment import FailingHandler, SteppedDeployment
from workers.errors import DependencyUnavailableError, FailureNotFoundError
from workers.housekeeping import Housekeeping
from workers.replay import ReplayFilter
from workers.valkey.connection import UNAVAILABLE
from workers.valkey.entries import Batch

HANDLERS = ("timeline", "refunds")
STREAMS = (keys.INBOX, *map(keys.todo, HANDLERS))
NAMES = ("one", "one", "one", "two", "three")
"""The workers' names in the consumer groups. A name that three have stands for three processes that one host started."""
MOST_WAITING = 60
_LOST = (DependencyUnavailableError, *UNAVAILABLE)

Hand = tuple[str, Batch]
"""A stream, and a batch of it that a worker has read and not processed."""


class Worker:
    """One worker process: its connection, which may fail, and the batches it has read."""

    def __init__(self, name: str, url: str, of: Callable[[redis.Redis], SteppedDeployment]) -> None:
        self.name, self._url, self._of = name, url, of
        self.faults = Faults()
        self.hand: list[Hand] = []
        self.due: list[Failure] = []
        self.parts = of(connect_with(self.faults, url))

    def restart(self) -> None:
        """Forget everything, as a process that was killed and started again."""
        self.faults.clear()
        self.hand.clear()
        self.due.clear()
        self.parts.close()
        self.parts = self._of(connect_with(self.faults, self._url))


class RandomSchedule:
    """A deployment that takes random steps. `posted`: identity-bearing bodies by event id, of which `refunds` are refunds."""

    def __init__(self, seed: int, url: str, of: Callable[[redis.Redis], SteppedDeployment], bug: FailingHandler) -> None:
        self.rng, self.bug = random.Random(seed), bug  # noqa: S311 - a seed names a run
        self.workers = [Worker(name, url, of) for name in NAMES]
        self.client = redis.Redis.from_url(url)
        self.operator = of(connect_with(Faults(), url))
        self.operator.store.ensure_groups(STREAMS)
        self.orders: dict[str, bytes] = {}
        self.discarded: dict[str, Sequence[str]] = {}
        """The failures that a person has discarded, and the orders whose effect must therefore not exist."""
        self.posted = self.undecodable = self.steps = 0
        self._kill_before_sql_commit = False
        engine = self.operator.ledger_fixture.ledger.engine
        sqlalchemy_event.listen(engine, "commit", self._before_sql_commit)
        self._actions: list[tuple[int, Callable[[], None]]] = [
            (14, self.post),
            (16, self.read),
            (6, self.read_own),
            (5, self.claim),
            (30, self.process),
            (5, self.kill),
            (6, self.take_due),
            (8, self.retry_due),
            (2, self.retry_by_hand),
            (2, self.discard),
            (1, self.replay),
            (2, self.trim),
            (1, self.toggle_bug),
        ]

    def close(self) -> None:
        """Close all connections."""
        for worker in self.workers:
            worker.parts.close()
        self.operator.close()
        self.client.close()

    def step(self) -> None:
        """Take one step, and check that the sums hold."""
        weights, actions = zip(*self._actions, strict=True)
        action: Callable[[], None] = self.rng.choices(actions, weights)[0]
        self.steps += 1
        action()
        assert self.operator.sums

    def post(self) -> None:
        """A few events: new ones, repetitions of earlier ones, and now and then one that cannot be read."""
        if self.operator.sums.waiting > MOST_WAITING:
            return
        for _ in range(self.rng.randint(1, 5)):
            chance = self.rng.random()
            if chance < 0.05:
                self.undecodable += 1
                body = b'{"event":"picking","number":%d}' % self.undecodable
            elif chance < 0.25 and self.orders:
                body = self.orders[self.rng.choice(list(self.orders)[-50:])]
            else:
                body = self._new_body()
            self.operator.append(body)
            self.posted += 1

    def read(self) -> None:
        """A worker reads new entries."""
        worker, stream = self._worker(), self.rng.choice(STREAMS)
        self._try(worker, lambda: self._take(worker, stream, worker.parts.store.read(stream, worker.name, self._few())))

    def read_own(self) -> None:
        """A worker reads again what is pending under its name, which other processes of that name may have."""
        worker, stream = self._worker(), self.rng.choice(STREAMS)
        self._try(
            worker, lambda: self._take(worker, stream, worker.parts.store.read_own(stream, worker.name, "0", self._few()))
        )

    def claim(self) -> None:
        """A worker takes over entries, although whoever has them may still work on them."""
        worker, stream = self._worker(), self.rng.choice(STREAMS)
        self._try(worker, lambda: self._take(worker, stream, worker.parts.store.claim(stream, worker.name, 0, self._few())))

    def process(self) -> None:
        """A worker processes a batch that it has, as often as not one that another has taken over since."""
        worker = self._worker(lambda each: bool(each.hand))
        if worker.hand:
            stream, batch = worker.hand.pop(self.rng.randrange(len(worker.hand)))
            self._try(worker, lambda: self._process(worker, stream, batch))

    def kill(self) -> None:
        """A worker is killed between two steps."""
        self._worker().restart()

    def take_due(self) -> None:
        """A worker's timer takes the retries that are due, at a time when earlier leases may have ended."""
        worker, now_ms = self._worker(), self._later(self.rng.choice([1, 1, 1, 2]))
        self._try(worker, lambda: worker.due.extend(worker.parts.failures.take_due(now_ms)))

    def retry_due(self) -> None:
        """A worker runs a retry whose message it has. Messages may come late, or twice."""
        worker = self._worker(lambda each: bool(each.due))
        if worker.due:
            failure = self.rng.choice(worker.due)
            if self.rng.random() < 0.8:
                worker.due.remove(failure)
            self._try(worker, lambda: worker.parts.run_retry(failure.handler, failure.event_id))

    def retry_by_hand(self) -> None:
        """A person retries a failure."""
        if failure := self._failure():
            with suppress(FailureNotFoundError):
                self.operator.failures.retry(failure.handler, failure.event_id, int(time.time() * 1000))
                self.discarded.pop(failure.field, None)

    def discard(self) -> None:
        """A person discards a failure. A worker that was killed after its commit may have applied it before."""
        if failure := self._failure():
            with suppress(FailureNotFoundError):
                self.operator.failures.discard(failure.handler, failure.event_id, "no longer wanted")
                is_applied = failure.handler in HANDLERS and set(failure.order_ids) <= self._orders_in(failure.handler)
                self.discarded[failure.field] = () if is_applied else failure.order_ids

    def replay(self) -> None:
        """A person replays everything, through one handler or all."""
        since = ReplayFilter(datetime.now(UTC) - timedelta(days=1))
        self.operator.replay(*self.rng.choice([(), ("refunds",), ("timeline",)])).run(since)

    def trim(self) -> None:
        """Housekeeping trims whatever may be trimmed."""
        worker = self._worker()
        retention = timedelta(milliseconds=self.rng.choice([0, 50, 3_600_000]))
        self._try(worker, Housekeeping(worker.parts.store, HANDLERS, retention).run)

    def toggle_bug(self) -> None:
        """The refunds handler gets a bug for half of the orders, or loses it."""
        self.bug.bug = None if self.bug.bug else KeyError("a bug")
        self.bug.orders = frozenset(each for each in self.orders if self.rng.random() < 0.5)

    def settle(self) -> None:
        """Fix the bug, and work without faults until nothing waits and every failure but the discarded is resolved."""
        self.bug.bug = None
        for worker in self.workers:
            worker.restart()
        for hours in range(3, 30):
            for stream in STREAMS:
                while batch := self.operator.store.claim(stream, "last", 0, 100):
                    self._process(self.workers[0], stream, batch, self.operator)
                while batch := self.operator.store.read(stream, "last", 100):
                    self._process(self.workers[0], stream, batch, self.operator)
            for failure in self.operator.failures.all():
                if failure.state is FailureState.DEAD and failure.handler in HANDLERS:
                    self.operator.failures.retry(failure.handler, failure.event_id, int(time.time() * 1000))
            for failure in self.operator.failures.take_due(self._later(hours)):
                self.operator.run_retry(failure.handler, failure.event_id)
            if all(
                each.state is FailureState.DISCARDED or each.handler not in HANDLERS for each in self.operator.failures.all()
            ):
                return
        raise AssertionError("retries never end")

    def check_settled(self) -> None:
        """Every event has its one outcome, and every effect exists once: those that a person has discarded do not."""
        found = self.operator.sums
        assert found.is_settled
        assert found.received == self.posted
        assert found.count("undecodable") == self.undecodable
        assert found.count("routed") == len(self.orders), "an event was lost, or taken for a duplicate"
        left = {field for field, failure in failures(self.client).items() if failure.handler in HANDLERS}
        assert left == {field for field in self.discarded if field.partition(":")[0] in HANDLERS}
        refunding = {order for order, body in self.orders.items() if b"refund" in body}
        for handler, wanted in (("refunds", refunding), ("timeline", self.orders.keys())):
            not_applied = {each for field in left if field.startswith(handler) for each in self.discarded[field]}
            assert self._orders_in(handler) == wanted - not_applied

    def _orders_in(self, handler: str) -> set[str]:
        """The orders of which the ledger has the handler's effect; each has one event, and one line."""
        rows = self.operator.ledger_fixture.rows({"refunds": "refunds", "timeline": "order_events"}[handler])
        orders = [row["order_id"] for row in rows]
        assert len(set(orders)) == len(orders), "an effect exists twice"
        return set(orders)

    def _new_body(self) -> bytes:
        order = f"o{len(self.orders)}"
        content: dict[str, Any] = {"event": self.rng.choice(["order_item_refund", "picking"]), "order_id": order}
        if content["event"] == "order_item_refund":
            content["items"] = [{"line_num": "1", "item_upc": order, "refunded": True}]
        self.orders[order] = json.dumps(content).encode()
        return self.orders[order]

    def _worker(self, has: Callable[[Worker], bool] = lambda _: True) -> Worker:
        return self.rng.choice([each for each in self.workers if has(each)] or self.workers)

    def _later(self, hours: int) -> int:
        return int(time.time() * 1000) + hours * 3_600_000

    def _few(self) -> int:
        return self.rng.randint(1, 6)

    def _failure(self) -> Failure | None:
        known = sorted(self.operator.failures.all(), key=lambda each: each.field)
        return self.rng.choice(known) if known else None

    def _take(self, worker: Worker, stream: str, batch: Batch) -> None:
        if batch:
            worker.hand.append((stream, batch))

    def _process(self, worker: Worker, stream: str, batch: Batch, parts: SteppedDeployment | None = None) -> None:
        parts = parts or worker.parts
        if stream == keys.INBOX:
            parts.process_inbox(batch)
        else:
            parts.process(stream.removeprefix(keys.TODO_PREFIX), batch)

    def _try(self, worker: Worker, run: Callable[[], object]) -> None:
        """Run a step of a worker, during which it may lose its connection or be killed."""
        if self.rng.random() < 0.25:
            worker.faults.countdown = self.rng.randint(0, 6)
            worker.faults.is_after, worker.faults.is_kill = self.rng.random() < 0.5, self.rng.random() < 0.5
        self._kill_before_sql_commit = self.rng.random() < 0.03
        try:
            run()
        except KilledError:
            worker.restart()
        except _LOST:
            pass  # what it had read stays pending under its name
        finally:
            worker.faults.clear()
            self._kill_before_sql_commit = False

    def _before_sql_commit(self, _: object) -> None:
        if self._kill_before_sql_commit:
            self._kill_before_sql_commit = False
            raise KilledError
