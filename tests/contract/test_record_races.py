"""Claim checks, retries, replays, trims and people's decisions in any order: the sums hold after each step.

A seeded scheduler interleaves them on one deployment: also between the look at the records and the commit in the ledger, and between
that commit and the acknowledgement.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas import keys
from schemas.failures import Failure, FailureState, Reason
from tests.support.stepped_deployment import FailingHandler, SteppedDeployment, open_stepped_deployment
from tests.support.valkey_servers import RealValkey
from tests.unit.failing_deployment import QUICK, refund, refunds
from workers.housekeeping import Housekeeping
from workers.replay import ReplayFilter
from workers.valkey.entries import Entry

TODO = keys.todo("refunds")
STEPS = 120


class Races:
    """A deployment of one handler, what its workers hold, and one random step after another."""

    def __init__(
        self, deployment: SteppedDeployment, handler: FailingHandler, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.it, self.handler, self.random = deployment, handler, random.Random(seed)  # noqa: S311
        self.orders: dict[str, str] = {}
        self.dispatched: list[str] = []
        self.held: list[list[Entry]] = []
        self.messages: list[Failure] = []
        self.discarded: dict[str, str] = {}
        """Events that a person discarded before they were applied, and the note."""
        self.depth = 0
        deployment.store.ensure_groups([TODO])
        ledger, store = deployment.ledger_fixture.ledger, deployment.store
        monkeypatch.setattr(ledger, "apply", self._after_something(ledger.apply))
        monkeypatch.setattr(store, "ack_batch", self._after_something(store.ack_batch))

    def _after_something(self, do: Callable[..., Any]) -> Callable[..., Any]:
        def interrupted(*args: Any, **named: Any) -> Any:
            if self.depth < 2 and self.random.random() < 0.4:
                self.depth += 1
                self.step()
                self.depth -= 1
            return do(*args, **named)

        return interrupted

    def step(self) -> None:
        """One random step."""
        steps = {
            self.append: 2, self.dispatch: 2, self.take: 5, self.handle: 6, self.break_or_mend: 2, self.retry: 2, self.discard: 3,
            self.send_retries: 3, self.run_retry: 4, self.replay: 2, self.replay_as_release_0_1: 3, self.trim: 2,
        }  # fmt: skip
        self.random.choices(list(steps), list(steps.values()))[0]()

    def append(self) -> None:
        """An event comes."""
        order = f"o{len(self.orders)}"
        self.orders[self.it.append(refund(order))] = order

    def take(self) -> None:
        """A worker reads claim checks."""
        if batch := self.it.store.read(TODO, "worker", self.random.randint(1, 3)):
            self.held.append(batch)

    def handle(self) -> None:
        """A worker handles what it holds; another may hold the same, since the first was slow."""
        if self.held:
            batch = self.held[self.random.randrange(len(self.held))]
            if self.random.random() < 0.8:
                self.held.remove(batch)
            self.it.process("refunds", batch)

    def break_or_mend(self) -> None:
        """A release has a bug, or mends it."""
        self.handler.bug = None if self.handler.bug else KeyError("a bug")

    def _some_failure(self) -> Failure | None:
        found = sorted(self.it.failures.all(), key=lambda each: each.field)
        return self.random.choice(found) if found else None

    def retry(self) -> None:
        """A person retries a failure."""
        if failure := self._some_failure():
            self.it.failures.retry("refunds", failure.event_id, 1)
            self.discarded.pop(failure.event_id, None)

    def discard(self) -> None:
        """A person discards a failure."""
        failure, note = self._some_failure(), f"note {self.random.random()}"
        if failure and failure.state is not FailureState.DISCARDED:
            self.it.failures.discard("refunds", failure.event_id, note)
            if self.orders[failure.event_id] not in refunds(self.it):
                self.discarded[failure.event_id] = note

    def send_retries(self) -> None:
        """The timer leases what is due, and sends its messages."""
        self.messages += self.it.take_due()

    def run_retry(self) -> None:
        """A worker receives such a message, perhaps late, perhaps twice."""
        if self.messages:
            failure = self.random.choice(self.messages)
            if self.random.random() < 0.8:
                self.messages.remove(failure)
            self.it.run_retry("refunds", failure.event_id)

    def replay(self) -> None:
        """A person replays everything."""
        self.it.replay("refunds").run(ReplayFilter(datetime.now(UTC) - timedelta(days=1)))

    def dispatch(self) -> None:
        """The dispatcher routes what has come."""
        self.it.dispatch()
        self.dispatched = list(self.orders)

    def replay_as_release_0_1(self) -> None:
        """A person replays events with release 0.1: also those that wait, if they have no record."""
        for event_id in self.random.sample(self.dispatched, min(3, len(self.dispatched))):
            has_record = self.it.client.hexists(keys.FAILURES, f"refunds:{event_id}")
            if not has_record and self.it.client.xrange(keys.INBOX, event_id, event_id):
                self.it.client.xadd(TODO, {keys.FIELD_EVENT: event_id})
                for counter in (keys.Counter.routed("refunds"), keys.Counter.waiting("refunds")):
                    self.it.client.hincrby(keys.COUNTERS, counter, 1)

    def trim(self) -> None:
        """Housekeeping trims all that may go."""
        Housekeeping(self.it.store, ["refunds"], timedelta(0)).run()

    def check(self) -> None:
        """What must be true between any two steps."""
        counters = self.it.sums.counters
        records = {each.event_id: each for each in self.it.failures.all()}
        states = [each.state for each in records.values()]
        assert counters.get("failed:refunds", 0) == len(records)
        assert counters.get("discarded:refunds", 0) == states.count(FailureState.DISCARDED)
        assert not [each for each in records.values() if each.reason is Reason.BODY_MISSING]
        queues: list[Any] = [self.it.client.zrange(key, 0, -1) for key in (keys.RETRIES, keys.IN_FLIGHT)]
        queued = {field.decode() for queue in queues for field in queue}
        assert queued == {each.field for each in records.values() if each.state is FailureState.RETRYING}
        applied = refunds(self.it)
        assert len(applied) == len(set(applied))
        for event_id, note in self.discarded.items():
            if self.orders[event_id] in applied:
                assert event_id not in records, "what was applied is on no record"
            else:
                assert (records[event_id].state, records[event_id].note) == (FailureState.DISCARDED, note)

    def finish(self) -> None:
        """Mend the bug and let everything end."""
        self.handler.bug, self.depth = None, 2
        self.it.dispatch()
        for batch in self.held:
            self.it.process("refunds", batch)
        self.it.handle()
        while due := self.it.take_due():
            for each in due:
                self.it.run_retry("refunds", each.event_id)
        self.check()
        left = [self.orders[each.event_id] for each in self.it.failures.all()]
        assert {each.state for each in self.it.failures.all()} <= {FailureState.DEAD, FailureState.DISCARDED}
        assert set(self.orders.values()) - set(refunds(self.it)) <= set(left)
        assert self.it.sums.is_settled


@pytest.fixture
def handler() -> FailingHandler:
    return FailingHandler("refunds")


@pytest.fixture
def deployment(
    real_server: RealValkey, migrated_sqlite: Path, tmp_path: Path, handler: FailingHandler
) -> Iterator[SteppedDeployment]:
    """One handler, on Valkey and on Redis, whose streams have nodes of one entry: each trim is seen."""
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with ExitStack() as stack:
        made = stack.enter_context(open_stepped_deployment(real_server.url, f"sqlite:///{database}", [handler.handler(QUICK)]))
        made.client.config_set("stream-node-max-entries", 1)
        stack.callback(made.client.config_set, "stream-node-max-entries", 100)
        yield made


@pytest.mark.parametrize("seed", range(3))
def test_in_any_order_the_sums_hold_and_a_person_s_decision_too(
    deployment: SteppedDeployment, handler: FailingHandler, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    races = Races(deployment, handler, seed, monkeypatch)
    for _ in range(STEPS):
        races.step()
        races.check()
    races.finish()
    assert len(races.orders) > 5
