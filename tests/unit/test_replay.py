"""Replay: events of the inbox go through handlers again, and nothing that was applied changes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from schemas import keys
from schemas.events import Kind, Provider, received_at
from tests.bench.bodies import mixed
from tests.payloads import recorded
from tests.support.books import HANDLERS
from tests.support.slow_lane import Clumsy, SlowLane, all_rows, slow_lane
from workers.failures.retry_policy import NO_RETRY
from workers.handler import Handler
from workers.replay import PAGE, ReplayFilter

A_DAY_AGO = ReplayFilter(datetime.now(UTC) - timedelta(days=1))
TIMELESS = b'{"event":"picking","order_id":"o-timeless","x":%d}'

Open = Callable[..., SlowLane]


@pytest.fixture
def open_lane(valkey_url: str, books_url: str) -> Iterator[Open]:
    """Each test with it runs on both Valkeys and both ledgers."""
    with ExitStack() as stack:
        yield lambda *handlers: stack.enter_context(slow_lane(valkey_url, books_url, handlers or None))


@pytest.fixture
def queue(open_lane: Open) -> SlowLane:
    return open_lane()


def a_day(queue: SlowLane, count: int = 150) -> None:
    """A day's events, some of them redelivered, some late, one undecodable, one without a time of its own."""
    posted = mixed(count, seed=7)
    for number, (provider, body) in enumerate([*posted, *posted[: count // 10]]):
        queue.append(body, provider)
        if number % 60 == 0:
            queue.append(TIMELESS % 1)
            queue.append(b"{")
    queue.work()


def rows(queue: SlowLane) -> object:
    """All rows but the clock of the outbox, which nobody empties here."""
    return all_rows(queue.books)


def test_a_days_events_replayed_twice_change_no_row_and_the_sums_hold(queue: SlowLane) -> None:
    a_day(queue)
    before, counters = rows(queue), queue.sums.counters
    replay = queue.replay()
    for _ in range(2):
        expected = replay.count(A_DAY_AGO)
        sent = replay.run(A_DAY_AGO)
        assert sent.events == expected == counters["routed"]
        queue.work()
        assert rows(queue) == before
    again = queue.sums.counters
    assert again["routed:timeline"] == 3 * counters["routed:timeline"] == again["applied:timeline"]
    assert {name: again[name] for name in ("routed", "duplicate", "undecodable")} == {
        name: counters[name] for name in ("routed", "duplicate", "undecodable")
    }


def test_counting_sends_nothing(queue: SlowLane) -> None:
    a_day(queue, 30)
    before = queue.sums
    assert queue.replay().count(A_DAY_AGO) == before.counters["routed"]
    assert queue.sums == before


def test_a_handler_that_was_added_later_gets_what_it_missed(open_lane: Open) -> None:
    without = [HANDLERS[name] for name in HANDLERS if name != "refunds"]
    queue = open_lane(*without)
    refund = recorded("instacart/flat/order_item_refund")
    queue.append(refund)
    queue.work()
    queue.client.close()
    queue = open_lane(*without, HANDLERS["refunds"])
    assert queue.books.rows("refunds") == []
    assert queue.replay("refunds").run(A_DAY_AGO) == (1, 1)
    queue.handle()
    assert queue.sums.counters["routed:refunds"] == 1
    assert len(queue.books.rows("refunds")) == 1


def test_filters_choose_by_kind_provider_order_and_time(queue: SlowLane) -> None:
    ids = [
        queue.append(recorded("instacart/flat/order_item_refund")),
        queue.append(recorded("instacart/flat/picking")),
        queue.append(recorded("afosto/order_opened"), "afosto"),
    ]
    queue.work()
    count, since = queue.replay().count, A_DAY_AGO.since
    assert count(ReplayFilter(since)) == 3
    assert count(ReplayFilter(since, kinds=frozenset({Kind.PICKING, Kind.ORDER_ITEM_REFUND}))) == 2
    assert count(ReplayFilter(since, providers=frozenset({Provider.AFOSTO}))) == 1
    assert count(ReplayFilter(since, orders=frozenset({"fc-104233"}))) == 2
    assert count(ReplayFilter(since, orders=frozenset({"nobody"}))) == 0
    times = [received_at(each) for each in ids]
    assert count(ReplayFilter(since, until=times[0])) == 0
    assert count(ReplayFilter(since, until=times[-1] + timedelta(milliseconds=1))) == 3
    assert count(ReplayFilter(times[-1] + timedelta(milliseconds=1))) == 0


def test_only_the_chosen_handlers_hear_of_it(queue: SlowLane) -> None:
    queue.append(recorded("instacart/flat/order_item_refund"))
    queue.work()
    assert queue.replay("refunds").run(A_DAY_AGO) == (1, 1)
    assert queue.replay("customer_mia").run(A_DAY_AGO) == (0, 0)
    assert queue.replay("refunds", "timeline").run(A_DAY_AGO) == (1, 2)
    queue.work()
    assert (queue.sums.counters["routed:timeline"], queue.sums.counters["routed:refunds"]) == (2, 3)


def clumsy(name: str) -> tuple[Clumsy, Handler]:
    it = Clumsy(name, KeyError("a bug"))
    return it, it.handler(NO_RETRY)


def test_what_failed_is_left_alone_at_the_handler_where_it_failed(open_lane: Open) -> None:
    bug, refunds = clumsy("refunds")
    queue = open_lane(HANDLERS["timeline"], refunds)
    queue.append(recorded("instacart/flat/order_item_refund"))
    queue.work()
    assert queue.replay().count(A_DAY_AGO) == 1
    assert queue.replay("refunds").count(A_DAY_AGO) == 0
    assert queue.replay().run(A_DAY_AGO) == (1, 1)
    bug.bug = None
    queue.work()
    assert queue.books.rows("refunds") == [], "it is to be retried, not replayed"
    (failure,) = queue.failures.all()
    queue.failures.discard("refunds", failure.event_id, "not to be applied")
    assert queue.replay("refunds").run(A_DAY_AGO) == (0, 0)


def test_a_body_that_only_a_newer_release_can_decode_is_left_to_its_retry(queue: SlowLane) -> None:
    queue.append(TIMELESS % 1)
    queue.dispatch_with_an_older_release()
    assert queue.replay().run(A_DAY_AGO) == (0, 0)


def test_a_redelivery_is_not_replayed_so_old_news_stays_as_old_as_it_was(queue: SlowLane) -> None:
    queue.append(TIMELESS % 1)
    queue.work()
    queue.append(TIMELESS % 1)
    queue.work()
    before = rows(queue)
    assert queue.replay().run(A_DAY_AGO).events == 1
    queue.work()
    assert rows(queue) == before


def test_what_waits_for_the_drain_is_left_to_it(queue: SlowLane) -> None:
    assert queue.replay().run(A_DAY_AGO) == (0, 0)
    queue.append(TIMELESS % 1)
    assert queue.replay().run(A_DAY_AGO) == (0, 0)
    queue.dispatch()
    queue.append(TIMELESS % 2)
    assert queue.replay().count(A_DAY_AGO) == 1
    queue.store.read(keys.INBOX, "a worker that is at it", 10)
    queue.append(TIMELESS % 3)
    assert queue.replay().count(A_DAY_AGO) == 1
    (entry,) = queue.store.read_own(keys.INBOX, "a worker that is at it", "0", 10)
    queue.client.xack(keys.INBOX, keys.GROUP, entry.id)
    queue.dispatch()
    assert queue.replay().count(A_DAY_AGO) == 3


def test_progress_is_told_page_by_page(open_lane: Open) -> None:
    queue = open_lane(HANDLERS["refunds"], HANDLERS["timeline"])
    for number in range(PAGE + 20):
        queue.append(TIMELESS % number)
    queue.dispatch()
    told: list[int] = []
    assert queue.replay("timeline").run(A_DAY_AGO, told.append) == (PAGE + 20, PAGE + 20)
    assert told == [PAGE, 20]
    queue.handle()
