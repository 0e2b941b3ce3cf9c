"""A stream consumer claims abandoned entries, sets its waiter flag in the idle wait, and loses no notification.

Where waiting is the point the real Valkey alone will do: the fake answers a blocking XREADGROUP with COUNT at once.
"""

import logging
from collections.abc import Sequence

import pytest

from schemas import keys
from tests.support.valkey_servers import RealValkey
from tests.support.waiting import wait_for
from tests.unit.consumer_bench import NAME, STREAM, ConsumerBench
from workers.consumers import stream_consumer as stream_consumer_module
from workers.consumers.batch_size import BatchSize
from workers.consumers.stream_consumer import StreamConsumer
from workers.errors import DependencyUnavailableError
from workers.valkey.entries import Entry


def test_a_consumer_empties_its_stream_and_clears_its_waiter_flag_before_it_ends(consumer_bench: ConsumerBench) -> None:
    ids = [consumer_bench.append() for _ in range(5)]
    consumer_bench.consumer().run()
    assert consumer_bench.work.done == ids
    assert not consumer_bench.has_waiter_flag()


def test_entries_that_arrive_in_the_idle_wait_are_handled_without_a_notification(
    real_consumer_bench: ConsumerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_consumer_module, "IDLE_WAIT_MS", 1_000)
    real_consumer_bench.start(real_consumer_bench.consumer())
    for _ in range(3):
        wait_for(real_consumer_bench.has_waiter_flag, what="the sign")
        assert real_consumer_bench.parts.store.queues_to_notify([NAME]) == ([], [])
        entry_id = real_consumer_bench.append()
        wait_for(lambda entry_id=entry_id: real_consumer_bench.is_done(entry_id), what="the entry to be handled")  # type: ignore[misc]
    assert real_consumer_bench.parts.notifications(NAME) == 0


def test_a_consumer_that_is_just_ending_leaves_no_entry_behind(
    consumer_bench: ConsumerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Append and check the waiter flag as the ingress does, repeatedly at the moment the consumer ends. No timer runs."""
    monkeypatch.setattr(stream_consumer_module, "IDLE_WAIT_MS", 1)
    queue = consumer_bench.consumer()
    for number in range(150):
        entry_id = consumer_bench.append()
        if consumer_bench.parts.store.queues_to_notify([NAME])[0]:
            consumer_bench.start(queue)
        wait_for(lambda entry_id=entry_id: consumer_bench.is_done(entry_id), 5, f"entry {number} to be handled")  # type: ignore[misc]
    assert consumer_bench.work.most_at_once == 1


def test_two_workers_that_start_and_end_leave_no_entry_behind(
    consumer_bench: ConsumerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_consumer_module, "IDLE_WAIT_MS", 2)
    queues = [consumer_bench.consumer("one"), consumer_bench.consumer("two")]
    for number in range(100):
        entry_id = consumer_bench.append()
        if consumer_bench.parts.store.queues_to_notify([NAME])[0]:
            consumer_bench.start(queues[number % 2])
        wait_for(lambda entry_id=entry_id: consumer_bench.is_done(entry_id), 5, f"entry {number} to be handled")  # type: ignore[misc]


def test_a_notification_for_a_running_consumer_starts_no_second_one_and_is_not_lost(real_consumer_bench: ConsumerBench) -> None:
    queue = real_consumer_bench.consumer()
    first = real_consumer_bench.start(queue)
    wait_for(real_consumer_bench.has_waiter_flag, what="the sign")
    queue.run()  # returns at once
    assert first.is_alive()
    entry_id = real_consumer_bench.append()
    wait_for(lambda: real_consumer_bench.is_done(entry_id), what="the entry to be handled")
    first.join(10)
    assert real_consumer_bench.work.most_at_once == 1


def test_entries_of_a_dead_worker_are_claimed(consumer_bench: ConsumerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_consumer_module, "CLAIM_IDLE_MS", 30)
    monkeypatch.setattr(stream_consumer_module, "CLAIM_PERIOD_SECONDS", 0.01)
    ids = [consumer_bench.append() for _ in range(3)]
    assert len(consumer_bench.parts.read_new(STREAM, consumer="dead")) == 3
    alive = consumer_bench.consumer("alive")

    def is_done() -> bool:
        alive.run()
        return consumer_bench.work.done == ids

    wait_for(is_done, what="the dead worker's entries to be handled")


def test_pending_entries_of_a_live_worker_are_not_claimed(consumer_bench: ConsumerBench) -> None:
    (entry_id,) = [consumer_bench.append() for _ in range(1)]
    consumer_bench.parts.read_new(STREAM, consumer="busy")
    consumer_bench.consumer("other").run()
    assert consumer_bench.work.done == []
    consumer_bench.parts.client.xack(STREAM, keys.GROUP, entry_id)


def test_after_a_restart_a_worker_finishes_its_own_first(consumer_bench: ConsumerBench) -> None:
    ids = [consumer_bench.append() for _ in range(5)]
    consumer_bench.parts.read_new(STREAM, consumer="one")
    later = consumer_bench.append()
    consumer_bench.consumer("one", batch_size=BatchSize(2)).run()
    assert consumer_bench.work.done == [*ids, later]


def test_a_stopping_worker_ends_at_once_clears_its_waiter_flag_and_notifies_another(real_consumer_bench: ConsumerBench) -> None:
    thread = real_consumer_bench.start(real_consumer_bench.consumer())
    wait_for(real_consumer_bench.has_waiter_flag, what="the sign")
    real_consumer_bench.stopping.set()
    thread.join(5)
    assert not thread.is_alive()
    assert not real_consumer_bench.has_waiter_flag()
    assert real_consumer_bench.parts.notifications(NAME) == 1


def test_a_consumer_at_its_time_limit_sends_a_notification_for_the_next_task(
    consumer_bench: ConsumerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_consumer_module, "MAX_RUN_SECONDS", 0.0)
    consumer_bench.append()
    consumer_bench.consumer().run()
    assert consumer_bench.work.done == []
    assert consumer_bench.parts.notifications(NAME) == 1
    consumer_bench.parts.store.clear_notified(NAME)
    monkeypatch.undo()
    consumer_bench.consumer().run()


def test_a_full_batch_notifies_a_second_worker(consumer_bench: ConsumerBench) -> None:
    for _ in range(12):
        consumer_bench.append()
    consumer_bench.consumer(batch_size=BatchSize(4)).run()
    assert len(consumer_bench.work.done) == 12
    assert consumer_bench.parts.notifications(NAME) == 1, "one for all three"


def test_a_dependency_outage_holds_the_batch_and_is_recorded_until_it_ends(
    consumer_bench: ConsumerBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream_consumer_module, "FIRST_PAUSE_SECONDS", 0.01)
    said: list[dict[bytes, bytes]] = []

    def work(entries: Sequence[Entry]) -> None:
        said.append(consumer_bench.parts.client.hgetall(keys.UNREACHABLE))
        consumer_bench.work(entries)

    consumer_bench.work.errors = [DependencyUnavailableError("the database")] * 3
    ids = [consumer_bench.append(), consumer_bench.append()]
    consumer_bench.consumer(work=work).run()
    assert consumer_bench.work.done == ids
    assert said == [{}, *[{b"refunds": b"the database"}] * 3]
    assert not consumer_bench.parts.client.exists(keys.UNREACHABLE)
    assert caplog.text.count("queue refunds waits: the database is unreachable") == 3


def test_a_stop_does_not_wait_for_a_dependency_outage(consumer_bench: ConsumerBench) -> None:
    consumer_bench.work.errors = [DependencyUnavailableError("the database")] * 1000
    entry_id = consumer_bench.append()
    thread = consumer_bench.start(consumer_bench.consumer())
    wait_for(lambda: consumer_bench.parts.client.exists(keys.UNREACHABLE), what="the consumer to notice")
    consumer_bench.stopping.set()
    thread.join(5)
    assert not thread.is_alive()
    assert consumer_bench.work.done == []
    consumer_bench.parts.client.xack(STREAM, keys.GROUP, entry_id)


def test_an_unexpected_error_leaves_the_queue_free_for_the_next_notification(consumer_bench: ConsumerBench) -> None:
    queue = consumer_bench.consumer()
    consumer_bench.work.errors = [RuntimeError("a bug")]
    entry_id = consumer_bench.append()
    with pytest.raises(RuntimeError):
        queue.run()
    queue.run()
    assert consumer_bench.work.done == [entry_id]


def test_a_valkey_outage_is_logged_and_work_continues_after_it(
    real_valkey: RealValkey, real_consumer_bench: ConsumerBench, caplog: pytest.LogCaptureFixture
) -> None:
    queue = real_consumer_bench.consumer()
    thread = real_consumer_bench.start(queue)
    wait_for(real_consumer_bench.has_waiter_flag, what="the sign")
    with caplog.at_level(logging.WARNING):
        real_valkey.kill()
        thread.join(10)
        queue.run()
    assert not thread.is_alive()
    assert caplog.text.count("Valkey is unreachable") == 1, "it is said once"
    real_valkey.start()
    entry_id = real_consumer_bench.append()
    queue.run()
    assert real_consumer_bench.work.done == [entry_id]


def test_claim_checks_with_many_events_are_read_a_few_at_a_time(consumer_bench: ConsumerBench) -> None:
    sizes: list[int] = []

    def work(entries: Sequence[Entry]) -> None:
        sizes.append(len(entries))
        consumer_bench.work(entries)

    queue = StreamConsumer(
        NAME,
        STREAM,
        work,
        consumer_bench.member("one"),
        BatchSize(events=20, entries=8, events_in=lambda _: 10),
    )
    ids = [consumer_bench.append() for _ in range(13)]
    queue.run()
    assert consumer_bench.work.done == ids
    assert sizes == [2, 2, 2, 2, 2, 2, 1], "the first eight in parts, and then no more than a batch"
