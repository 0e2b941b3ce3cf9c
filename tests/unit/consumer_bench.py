"""Stream consumers of one queue, in threads, and a handler that records its batches."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from schemas import keys
from tests.support.worker_parts import WorkerParts
from workers.consumers import stream_consumer as stream_consumer_module
from workers.consumers.batch_size import BatchSize
from workers.consumers.stream_consumer import GroupMember, StreamConsumer
from workers.valkey.entries import Entry

NAME = "refunds"

STREAM = keys.todo(NAME)


class RecordingWork:
    """Records and acknowledges each batch, or raises the next of `errors`."""

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


class ConsumerBench:
    """Consumers of one stream, and the threads that run them."""

    def __init__(self, worker_parts: WorkerParts) -> None:
        self.parts, self.work, self.stopping = worker_parts, RecordingWork(worker_parts), threading.Event()
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
        """Run a consumer in a thread, as a notification does."""
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
            assert not thread.is_alive(), "a consumer did not end"


@pytest.fixture
def consumer_bench(worker_parts: WorkerParts, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConsumerBench]:
    monkeypatch.setattr(stream_consumer_module, "IDLE_WAIT_MS", 100)
    made = ConsumerBench(worker_parts)
    yield made
    made.end()


@pytest.fixture
def real_consumer_bench(real_worker_parts: WorkerParts, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConsumerBench]:
    monkeypatch.setattr(stream_consumer_module, "IDLE_WAIT_MS", 100)
    made = ConsumerBench(real_worker_parts)
    yield made
    made.end()
