"""Replay: handlers process events of the inbox again, and nothing that was applied changes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from schemas import keys
from schemas.events import Kind, Provider, received_at
from tests.bench.bodies import mixed
from tests.payloads import recorded
from tests.support.ledger_fixture import HANDLERS
from tests.support.stepped_deployment import FailingHandler, SteppedDeployment, all_rows, open_stepped_deployment
from workers.failures.retry_policy import NO_RETRY
from workers.handler import Handler
from workers.replay import PAGE, LeftOut, ReplayFilter
from workers.valkey.entries import Entry
from workers.valkey.store import Routed

A_DAY_AGO = ReplayFilter(datetime.now(UTC) - timedelta(days=1))
TIMELESS = b'{"event":"picking","order_id":"o-timeless","x":%d}'

Open = Callable[..., SteppedDeployment]


@pytest.fixture
def open_deployment(valkey_url: str, migrated_ledger_url: str) -> Iterator[Open]:
    """Each test with it runs on both Valkeys and both ledgers."""
    with ExitStack() as stack:
        yield lambda *handlers: stack.enter_context(open_stepped_deployment(valkey_url, migrated_ledger_url, handlers or None))


@pytest.fixture
def stepped_deployment(open_deployment: Open) -> SteppedDeployment:
    return open_deployment()


def a_day(stepped_deployment: SteppedDeployment, count: int = 150) -> None:
    """A day's events, some of them redelivered, some late, one undecodable, one without a time of its own."""
    posted = mixed(count, seed=7)
    for number, (provider, body) in enumerate([*posted, *posted[: count // 10]]):
        stepped_deployment.append(body, provider)
        if number % 60 == 0:
            stepped_deployment.append(TIMELESS % 1)
            stepped_deployment.append(b"{")
    stepped_deployment.work()


def rows(stepped_deployment: SteppedDeployment) -> object:
    """All rows, without the times of the outbox, which is not sent here."""
    return all_rows(stepped_deployment.ledger_fixture)


def test_a_days_events_replayed_twice_change_no_row_and_the_sums_hold(stepped_deployment: SteppedDeployment) -> None:
    a_day(stepped_deployment)
    before, counters = rows(stepped_deployment), stepped_deployment.sums.counters
    replay = stepped_deployment.replay()
    for _ in range(2):
        expected = replay.count(A_DAY_AGO)
        sent = replay.run(A_DAY_AGO)
        assert sent.events == expected == counters["routed"]
        stepped_deployment.work()
        assert rows(stepped_deployment) == before
    again = stepped_deployment.sums.counters
    assert again["routed:timeline"] == 3 * counters["routed:timeline"] == again["applied:timeline"]
    assert {name: again[name] for name in ("routed", "duplicate", "undecodable")} == {
        name: counters[name] for name in ("routed", "duplicate", "undecodable")
    }


def test_counting_sends_nothing(stepped_deployment: SteppedDeployment) -> None:
    a_day(stepped_deployment, 30)
    before = stepped_deployment.sums
    assert stepped_deployment.replay().count(A_DAY_AGO) == before.counters["routed"]
    assert stepped_deployment.sums == before


def test_a_handler_that_was_added_later_gets_what_it_missed(open_deployment: Open) -> None:
    without = [HANDLERS[name] for name in HANDLERS if name != "refunds"]
    stepped_deployment = open_deployment(*without)
    refund = recorded("instacart/flat/order_item_refund")
    stepped_deployment.append(refund)
    stepped_deployment.work()
    stepped_deployment.client.close()
    stepped_deployment = open_deployment(*without, HANDLERS["refunds"])
    assert stepped_deployment.ledger_fixture.rows("refunds") == []
    assert stepped_deployment.replay("refunds").run(A_DAY_AGO) == (1, 1)
    stepped_deployment.handle()
    assert stepped_deployment.sums.counters["routed:refunds"] == 1
    assert len(stepped_deployment.ledger_fixture.rows("refunds")) == 1


def test_filters_choose_by_kind_provider_order_and_time(stepped_deployment: SteppedDeployment) -> None:
    ids = [
        stepped_deployment.append(recorded("instacart/flat/order_item_refund")),
        stepped_deployment.append(recorded("instacart/flat/picking")),
        stepped_deployment.append(recorded("afosto/order_opened"), "afosto"),
    ]
    stepped_deployment.work()
    count, since = stepped_deployment.replay().count, A_DAY_AGO.since
    assert count(ReplayFilter(since)) == 3
    assert count(ReplayFilter(since, kinds=frozenset({Kind.PICKING, Kind.ORDER_ITEM_REFUND}))) == 2
    assert count(ReplayFilter(since, providers=frozenset({Provider.AFOSTO}))) == 1
    assert count(ReplayFilter(since, orders=frozenset({"fc-104233"}))) == 2
    assert count(ReplayFilter(since, orders=frozenset({"nobody"}))) == 0
    times = [received_at(each) for each in ids]
    assert count(ReplayFilter(since, until=times[0])) == 0
    assert count(ReplayFilter(since, until=times[-1] + timedelta(milliseconds=1))) == 3
    assert count(ReplayFilter(times[-1] + timedelta(milliseconds=1))) == 0


def test_a_replay_goes_to_the_chosen_handlers_only(stepped_deployment: SteppedDeployment) -> None:
    stepped_deployment.append(recorded("instacart/flat/order_item_refund"))
    stepped_deployment.work()
    assert stepped_deployment.replay("refunds").run(A_DAY_AGO) == (1, 1)
    assert stepped_deployment.replay("customer_mia").run(A_DAY_AGO) == (0, 0)
    stepped_deployment.work()
    assert stepped_deployment.replay("refunds", "timeline").run(A_DAY_AGO) == (1, 2)
    stepped_deployment.work()
    assert (stepped_deployment.sums.counters["routed:timeline"], stepped_deployment.sums.counters["routed:refunds"]) == (2, 3)


def failing_handler(name: str) -> tuple[FailingHandler, Handler]:
    it = FailingHandler(name, KeyError("a bug"))
    return it, it.handler(NO_RETRY)


def test_a_replay_skips_an_event_at_the_handler_where_it_failed(open_deployment: Open) -> None:
    bug, refunds = failing_handler("refunds")
    stepped_deployment = open_deployment(HANDLERS["timeline"], refunds)
    stepped_deployment.append(recorded("instacart/flat/order_item_refund"))
    stepped_deployment.work()
    assert stepped_deployment.replay().count(A_DAY_AGO) == 1
    assert stepped_deployment.replay("refunds").count(A_DAY_AGO) == 0
    assert stepped_deployment.replay().run(A_DAY_AGO) == (1, 1)
    bug.bug = None
    stepped_deployment.work()
    assert stepped_deployment.ledger_fixture.rows("refunds") == [], "it is to be retried, not replayed"
    (failure,) = stepped_deployment.failures.all()
    stepped_deployment.failures.discard("refunds", failure.event_id, "not to be applied")
    assert stepped_deployment.replay("refunds").run(A_DAY_AGO) == (0, 0)


def test_a_body_that_only_a_newer_release_can_decode_is_left_to_its_retry(stepped_deployment: SteppedDeployment) -> None:
    stepped_deployment.append(TIMELESS % 1)
    stepped_deployment.dispatch_with_an_older_release()
    assert stepped_deployment.replay().run(A_DAY_AGO) == (0, 0)


def test_a_redelivery_is_not_replayed_and_keeps_the_first_time_of_receipt(stepped_deployment: SteppedDeployment) -> None:
    stepped_deployment.append(TIMELESS % 1)
    stepped_deployment.work()
    stepped_deployment.append(TIMELESS % 1)
    stepped_deployment.work()
    before = rows(stepped_deployment)
    assert stepped_deployment.replay().run(A_DAY_AGO).events == 1
    stepped_deployment.work()
    assert rows(stepped_deployment) == before


def test_a_replay_skips_events_that_wait_for_dispatch(stepped_deployment: SteppedDeployment) -> None:
    assert stepped_deployment.replay().run(A_DAY_AGO) == (0, 0)
    stepped_deployment.append(TIMELESS % 1)
    assert stepped_deployment.replay().run(A_DAY_AGO) == (0, 0)
    stepped_deployment.work()
    stepped_deployment.append(TIMELESS % 2)
    assert stepped_deployment.replay().count(A_DAY_AGO) == 1
    stepped_deployment.store.read(keys.INBOX, "a worker that is at it", 10)
    stepped_deployment.append(TIMELESS % 3)
    assert stepped_deployment.replay().count(A_DAY_AGO) == 1
    (entry,) = stepped_deployment.store.read_own(keys.INBOX, "a worker that is at it", "0", 10)
    stepped_deployment.client.xack(keys.INBOX, keys.GROUP, entry.id)
    stepped_deployment.dispatch()
    stepped_deployment.handle()
    assert stepped_deployment.replay().count(A_DAY_AGO) == 3


def test_progress_is_reported_page_by_page(open_deployment: Open) -> None:
    stepped_deployment = open_deployment(HANDLERS["refunds"], HANDLERS["timeline"])
    for number in range(PAGE + 20):
        stepped_deployment.append(TIMELESS % number)
    stepped_deployment.work()
    told: list[int] = []
    assert stepped_deployment.replay("timeline").run(A_DAY_AGO, told.append) == (PAGE + 20, PAGE + 20)
    assert told == [PAGE, 20]
    stepped_deployment.handle()


def test_what_waits_for_a_handler_is_left_out_there_and_counted(stepped_deployment: SteppedDeployment) -> None:
    stepped_deployment.append(recorded("instacart/flat/order_item_refund"))
    stepped_deployment.dispatch()
    replay = stepped_deployment.replay("timeline", "refunds")
    assert replay.run(A_DAY_AGO) == (0, 0)
    assert replay.left_out == {LeftOut.WAITING: 2}
    stepped_deployment.handle_only("refunds")
    assert replay.run(A_DAY_AGO) == (1, 1)
    assert replay.left_out == {LeftOut.WAITING: 1}
    assert stepped_deployment.replay("timeline", "refunds").run(A_DAY_AGO) == (0, 0), "it was replayed a moment ago"
    stepped_deployment.work()
    assert len(stepped_deployment.ledger_fixture.rows("refunds")) == 1


def test_what_begins_to_wait_while_a_replay_runs_is_left_out(
    stepped_deployment: SteppedDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people replay the same events at the same moment."""
    stepped_deployment.append(recorded("instacart/flat/order_item_refund"))
    stepped_deployment.work()
    first, second = (stepped_deployment.replay("refunds") for _ in range(2))
    waiting = first._waiting

    def then_the_second(criteria: ReplayFilter) -> tuple[list[set[str]], list[str]]:
        found = waiting(criteria)
        assert second.run(criteria) == (1, 1)
        return found

    monkeypatch.setattr(first, "_waiting", then_the_second)
    assert first.run(A_DAY_AGO) == (0, 0)
    assert first.left_out == {LeftOut.WAITING: 1}
    stepped_deployment.handle()
    assert stepped_deployment.sums.counters["applied:refunds"] == 2


def test_each_reason_for_leaving_an_event_out_is_counted(open_deployment: Open) -> None:
    _, refunds = failing_handler("refunds")
    stepped_deployment = open_deployment(HANDLERS["timeline"], refunds)
    for body in (recorded("instacart/flat/order_item_refund"), TIMELESS % 1, TIMELESS % 1, b"{"):
        stepped_deployment.append(body)
        stepped_deployment.work()
    replay = stepped_deployment.replay()
    assert replay.count(A_DAY_AGO) == 2
    assert replay.left_out == {LeftOut.FAILED: 1, LeftOut.DUPLICATE: 1, LeftOut.UNREADABLE: 1}


def test_events_that_are_trimmed_while_a_replay_runs_are_left_out_and_said(
    stepped_deployment: SteppedDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        stepped_deployment.append(TIMELESS % number)
    stepped_deployment.work()
    replay = stepped_deployment.replay("timeline")
    assert replay.reaches_back_to() is None
    select = replay._select

    def then_trim(entry: Entry, criteria: ReplayFilter) -> Routed | None:
        stepped_deployment.client.xtrim(keys.INBOX, maxlen=1, approximate=False)
        return select(entry, criteria)

    monkeypatch.setattr(replay, "_select", then_trim)
    assert replay.run(A_DAY_AGO) == (1, 1)
    assert replay.left_out == {LeftOut.TRIMMED: 2}
    oldest = replay.reaches_back_to()
    assert oldest is not None
    assert oldest > A_DAY_AGO.since
    stepped_deployment.work()
    assert stepped_deployment.failures.count() == 0
