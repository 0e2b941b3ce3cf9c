"""One thread at a time, and no call for work is lost."""

import threading

from workers.consumers.single_flight import SingleFlight


def test_only_one_caller_starts() -> None:
    turn = SingleFlight()
    assert turn.try_start()
    assert not turn.try_start()


def test_a_call_during_a_run_causes_one_more_run() -> None:
    turn = SingleFlight()
    turn.try_start()
    turn.try_start()
    turn.try_start()
    assert not turn.try_finish(), "somebody called"
    assert turn.try_finish(), "once for all of them"
    assert turn.try_start()


def test_an_aborted_run_is_free_and_keeps_no_call() -> None:
    turn = SingleFlight()
    turn.try_start()
    turn.try_start()
    turn.abort()
    assert turn.try_start()
    assert turn.try_finish()


def test_all_work_is_done_and_never_by_two_threads_at_once() -> None:
    turn, todo, done = SingleFlight(), list[int](), list[int]()
    at_work = threading.Semaphore(1)
    collisions: list[int] = []

    def call(number: int) -> None:
        todo.append(number)
        if not turn.try_start():
            return
        while True:
            if not at_work.acquire(blocking=False):
                collisions.append(number)
            while todo:
                done.append(todo.pop())
            at_work.release()
            if turn.try_finish():
                return

    def caller(first: int) -> None:
        for number in range(first, first + 500):
            call(number)

    threads = [threading.Thread(target=caller, args=(500 * each,)) for each in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert collisions == []
    assert sorted(done) == list(range(3000))
