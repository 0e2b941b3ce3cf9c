"""A lane takes over what others left, waits with its sign up, loses no wake-up, and leaves when it should.

Where waiting is the point the real Valkey alone will do: the fake answers a blocking XREADGROUP with COUNT at once.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from schemas import keys
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts
from workers.consumers import stream_consumer as stream_consumer_module
from workers.consumers.stream_consumer import BatchSize, GroupMember, StreamConsumer
from workers.errors import DependencyUnavailableError
from workers.valkey.entries import Entry

NAME = "refunds"
STREAM = keys.todo(NAME)


class Work:
    """What a lane does with its batches here: note them, and acknowledge them unless told to fail."""

    def __init__(self, worker_parts: WorkerParts) -> None:
        self._parts = worker_parts
        self.done: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.errors: list[Exception] = []

    def __call__(self, entries: Sequence[Entry]) -> None:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            if self.errors:
                raise self.errors.pop()
            ids = [entry.id for entry in entries]
            self._parts.client.xack(STREAM, keys.GROUP, *ids)
            self.done += ids
        finally:
            self.at_once -= 1


class Bench:
    """Consumers of one stream, and the threads that run them."""

    def __init__(self, worker_parts: WorkerParts) -> None:
        self.parts, self.work, self.stopping = worker_parts, Work(worker_parts), threading.Event()
        self._threads: list[threading.Thread] = []

    def consumer(
        self,
        consumer: str = "one",
        work: Callable[[Sequence[Entry]], None] | None = None,
        batch_size: BatchSize = BatchSize(),  # noqa: B008 - immutable
    ) -> StreamConsumer:
        return StreamConsumer(
            NAME,
            STREAM,
            work or self.work,
            self.member(consumer),
            batch_size,
        )

    def member(self, consumer: str) -> GroupMember:
        return GroupMember(consumer, self.parts.store, self.parts.notifier, self.stopping)

    def append(self) -> str:
        return str(self.parts.client.xadd(STREAM, {keys.FIELD_EVENT: "1-1"}).decode())

    def start(self, queue: StreamConsumer) -> threading.Thread:
        """Run it as a notification does, in a thread."""
        thread = threading.Thread(target=queue.run)
        thread.start()
        self._threads.append(thread)
        return thread

    def has_waiter_flag(self) -> bool:
        return bool(self.parts.client.exists(keys.waiter(NAME)))

    def is_done(self, entry_id: str) -> bool:
        return entry_id in self.work.done

    def end(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a lane did not end"


@pytest.fixture
def bench(worker_parts: WorkerParts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(stream_consumer_module, "IDLE_WAIT_MS", 100)
    made = Bench(worker_parts)
    yield made
    made.end()


@pytest.fixture
def real_bench(real_worker_parts: WorkerParts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(stream_consumer_module, "IDLE_WAIT_MS", 100)
    made = Bench(real_worker_parts)
    yield made
    made.end()


def test_a_lane_empties_its_stream_and_leaves_without_a_sign(bench: Bench) -> None:
    ids = [bench.append() for _ in range(5)]
    bench.consumer().run()
    assert bench.work.done == ids
    assert not bench.has_waiter_flag()


def test_while_a_lane_waits_what_comes_is_handled_without_a_doorbell(
    real_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_consumer_module, "IDLE_WAIT_MS", 1_000)
    real_bench.start(real_bench.consumer())
    for _ in range(3):
        wait_for(real_bench.has_waiter_flag, what="the sign")
        assert real_bench.parts.store.queues_to_notify([NAME]) == []
        entry_id = real_bench.append()
        wait_for(lambda entry_id=entry_id: real_bench.is_done(entry_id), what="the entry to be handled")  # type: ignore[misc]
    assert real_bench.parts.notifications(NAME) == 0


def test_no_entry_is_left_behind_by_a_lane_that_is_just_leaving(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appends and looks at the sign as the ingress does, over and over at the moment at which the lane leaves. No timer helps."""
    monkeypatch.setattr(stream_consumer_module, "IDLE_WAIT_MS", 1)
    queue = bench.consumer()
    for number in range(150):
        entry_id = bench.append()
        if bench.parts.store.queues_to_notify([NAME]):
            bench.start(queue)
        wait_for(lambda entry_id=entry_id: bench.is_done(entry_id), 5, f"entry {number} to be handled")  # type: ignore[misc]
    assert bench.work.most_at_once == 1


def test_two_workers_that_come_and_go_leave_no_entry_behind(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_consumer_module, "IDLE_WAIT_MS", 2)
    queues = [bench.consumer("one"), bench.consumer("two")]
    for number in range(100):
        entry_id = bench.append()
        if bench.parts.store.queues_to_notify([NAME]):
            bench.start(queues[number % 2])
        wait_for(lambda entry_id=entry_id: bench.is_done(entry_id), 5, f"entry {number} to be handled")  # type: ignore[misc]


def test_a_doorbell_that_finds_its_lane_at_work_starts_no_second_one_and_is_not_lost(real_bench: Bench) -> None:
    queue = real_bench.consumer()
    first = real_bench.start(queue)
    wait_for(real_bench.has_waiter_flag, what="the sign")
    queue.run()  # returns at once
    assert first.is_alive()
    entry_id = real_bench.append()
    wait_for(lambda: real_bench.is_done(entry_id), what="the entry to be handled")
    first.join(10)
    assert real_bench.work.most_at_once == 1


def test_what_a_dead_worker_left_is_taken_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_consumer_module, "CLAIM_IDLE_MS", 30)
    monkeypatch.setattr(stream_consumer_module, "CLAIM_PERIOD_SECONDS", 0.01)
    ids = [bench.append() for _ in range(3)]
    assert len(bench.parts.read_new(STREAM, consumer="dead")) == 3
    alive = bench.consumer("alive")

    def is_done() -> bool:
        alive.run()
        return bench.work.done == ids

    wait_for(is_done, what="the dead worker's entries to be handled")


def test_what_is_in_a_living_workers_hands_is_left_to_it(bench: Bench) -> None:
    (entry_id,) = [bench.append() for _ in range(1)]
    bench.parts.read_new(STREAM, consumer="busy")
    bench.consumer("other").run()
    assert bench.work.done == []
    bench.parts.client.xack(STREAM, keys.GROUP, entry_id)


def test_after_a_restart_a_worker_finishes_its_own_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_consumer_module, "BATCH", 2)
    ids = [bench.append() for _ in range(5)]
    bench.parts.read_new(STREAM, consumer="one")
    later = bench.append()
    bench.consumer("one").run()
    assert bench.work.done == [*ids, later]


def test_a_worker_that_stops_leaves_at_once_with_its_sign_down_and_rings_for_another(real_bench: Bench) -> None:
    thread = real_bench.start(real_bench.consumer())
    wait_for(real_bench.has_waiter_flag, what="the sign")
    real_bench.stopping.set()
    thread.join(5)
    assert not thread.is_alive()
    assert not real_bench.has_waiter_flag()
    assert real_bench.parts.notifications(NAME) == 1


def test_a_lane_whose_time_is_up_rings_for_its_successor(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_consumer_module, "MAX_RUN_SECONDS", 0.0)
    bench.append()
    bench.consumer().run()
    assert bench.work.done == []
    assert bench.parts.notifications(NAME) == 1
    bench.parts.store.clear_notified(NAME)
    monkeypatch.undo()
    bench.consumer().run()


def test_a_full_batch_brings_a_second_worker(bench: Bench) -> None:
    for _ in range(12):
        bench.append()
    bench.consumer(batch_size=BatchSize(4)).run()
    assert len(bench.work.done) == 12
    assert bench.parts.notifications(NAME) == 1, "one for all three"


def test_a_world_that_is_away_holds_the_batch_and_is_said_until_it_comes_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream_consumer_module, "FIRST_PAUSE_SECONDS", 0.01)
    said: list[dict[bytes, bytes]] = []

    def work(entries: Sequence[Entry]) -> None:
        said.append(bench.parts.client.hgetall(keys.UNREACHABLE))
        bench.work(entries)

    bench.work.errors = [DependencyUnavailableError("the database")] * 3
    ids = [bench.append(), bench.append()]
    bench.consumer(work=work).run()
    assert bench.work.done == ids
    assert said == [{}, *[{b"refunds": b"the database"}] * 3]
    assert not bench.parts.client.exists(keys.UNREACHABLE)
    assert caplog.text.count("queue refunds waits: the database is unreachable") == 3


def test_a_stop_does_not_wait_for_a_world_that_is_away(bench: Bench) -> None:
    bench.work.errors = [DependencyUnavailableError("the database")] * 1000
    entry_id = bench.append()
    thread = bench.start(bench.consumer())
    wait_for(lambda: bench.parts.client.exists(keys.UNREACHABLE), what="the lane to notice")
    bench.stopping.set()
    thread.join(5)
    assert not thread.is_alive()
    assert bench.work.done == []
    bench.parts.client.xack(STREAM, keys.GROUP, entry_id)


def test_a_bug_leaves_the_lane_free_for_the_next_doorbell(bench: Bench) -> None:
    queue = bench.consumer()
    bench.work.errors = [RuntimeError("a bug")]
    entry_id = bench.append()
    with pytest.raises(RuntimeError):
        queue.run()
    queue.run()
    assert bench.work.done == [entry_id]


def test_a_valkey_that_goes_away_is_logged_and_work_goes_on_when_it_is_back(
    real_valkey: RealValkey, real_bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    queue = real_bench.consumer()
    thread = real_bench.start(queue)
    wait_for(real_bench.has_waiter_flag, what="the sign")
    with caplog.at_level(logging.WARNING):
        real_valkey.kill()
        thread.join(10)
        queue.run()
    assert not thread.is_alive()
    assert caplog.text.count("queue refunds: Valkey is unreachable") == 2
    real_valkey.start()
    entry_id = real_bench.append()
    queue.run()
    assert real_bench.work.done == [entry_id]


def test_claim_checks_that_name_many_events_are_taken_few_at_a_time(bench: Bench) -> None:
    sizes: list[int] = []

    def work(entries: Sequence[Entry]) -> None:
        sizes.append(len(entries))
        bench.work(entries)

    queue = StreamConsumer(
        NAME,
        STREAM,
        work,
        bench.member("one"),
        BatchSize(events=20, entries=8, events_in=lambda _: 10),
    )
    ids = [bench.append() for _ in range(13)]
    queue.run()
    assert bench.work.done == ids
    assert sizes == [2, 2, 2, 2, 2, 2, 1], "the first eight in parts, and then no more than a batch"
