"""The handler runner on both ledgers and a real Valkey: bad events fail individually, and an outage marks no event failed."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from schemas import keys
from schemas.events import Event, Kind
from schemas.failures import Reason
from tests.contract.handler_runner_bench import BAD, EVENTS, TIMELINE, bench, has_a_bug, picky, rejects, writes_nonsense
from tests.support.event_sums import failures
from tests.support.ledger_fixture import reading_ledger
from tests.support.postgresql_server import PostgresqlServer
from tests.support.redis_monitor import RedisMonitor
from tests.support.worker_parts import WorkerParts, refund, status
from workers.errors import DependencyUnavailableError
from workers.failures.retry_policy import NO_RETRY
from workers.handler import Apply, Handler, UnitOfWork, registered
from workers.ledger.tables import order_events, orders, outbox, refunds


@pytest.mark.parametrize(
    ("refuse", "reason", "said"),
    [
        (rejects, Reason.REJECTED, "we do not take order-117"),
        (has_a_bug, Reason.HANDLER_ERROR, "IndexError"),
        (writes_nonsense, Reason.LEDGER_REFUSED, "IntegrityError"),
    ],
)
def test_one_bad_event_of_two_hundred_fails_alone_with_its_error(
    real_worker_parts: WorkerParts, ledger_url: str, refuse: Callable[[UnitOfWork, Event], None], reason: Reason, said: str
) -> None:
    with bench(real_worker_parts, ledger_url, picky(refuse)) as it, reading_ledger(ledger_url) as rows:
        ids = it.feed(*(status(f"order-{number}") for number in range(EVENTS)))
        assert it.counts() == {"routed": EVENTS, "applied": 0, "failed": 0, "waiting": EVENTS}
        it.work()
        assert it.counts() == {"routed": EVENTS, "applied": EVENTS - 1, "failed": 1, "waiting": 0}
        written = {row["order_id"] for row in rows.of(order_events)}
        assert written == {f"order-{number}" for number in range(EVENTS)} - {BAD}
    (field, failure), = failures(real_worker_parts.client).items()  # fmt: skip
    assert field == f"picky:{ids[117]}"
    assert failure.reason == reason
    assert failure.order_ids == (BAD,)
    assert BAD.encode() in failure.body
    assert said in failure.message
    assert refuse.__name__ in str(failure.traceback)


def test_several_bad_events_of_a_batch_fail_individually(real_worker_parts: WorkerParts, tmp_path: Path) -> None:
    with bench(real_worker_parts, f"sqlite:///{tmp_path / 'ledger.db'}", picky(rejects)) as it:
        it.feed(*(status(BAD if number % 3 == 0 else f"order-{number}") for number in range(30)))
        it.work()
        assert it.counts() == {"routed": 30, "applied": 20, "failed": 10, "waiting": 0}
    assert len(failures(real_worker_parts.client)) == 10


def test_customer_data_in_an_error_is_in_the_failure_record_and_not_in_the_log(
    real_worker_parts: WorkerParts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def gossips(_: UnitOfWork, __: Event) -> None:
        raise ValueError("jane.roe@example.org lives at Keizersgracht 123")

    with bench(real_worker_parts, f"sqlite:///{tmp_path / 'ledger.db'}", picky(gossips)) as it, caplog.at_level(logging.DEBUG):
        it.feed(status(BAD))
        it.work()
    (failure,) = failures(real_worker_parts.client).values()
    assert "jane.roe" in failure.message
    assert "picky" in caplog.text
    assert "jane.roe" not in caplog.text


def test_a_batch_handled_twice_counts_once_and_has_its_effects_once(real_worker_parts: WorkerParts, ledger_url: str) -> None:
    handler = next(each for each in registered() if each.name == "refunds")
    with bench(real_worker_parts, ledger_url, handler) as it, reading_ledger(ledger_url) as rows:
        it.feed(refund("a", "bread", "milk"), refund("b", "bread"), refund("a", "bread"))
        taken = real_worker_parts.read_new(it.stream)
        for _ in range(3):
            it.process(taken)
            assert it.counts() == {"routed": 3, "applied": 3, "failed": 0, "waiting": 0}
        assert [(row["order_id"], row["line"]) for row in rows.of(refunds)] == [("a", "bread"), ("a", "milk"), ("b", "bread")]


def test_a_failed_batch_acknowledged_twice_counts_once(real_worker_parts: WorkerParts, tmp_path: Path) -> None:
    with bench(real_worker_parts, f"sqlite:///{tmp_path / 'ledger.db'}", picky(rejects)) as it:
        it.feed(status(BAD), status("good"))
        taken = real_worker_parts.read_new(it.stream)
        for _ in range(2):
            it.process(taken)
            assert it.counts() == {"routed": 2, "applied": 1, "failed": 1, "waiting": 0}


def test_a_crash_between_the_ledgers_commit_and_the_acknowledgement_duplicates_nothing(
    real_worker_parts: WorkerParts, ledger_url: str
) -> None:
    handler = next(each for each in registered() if each.name == "customer_mia")
    with bench(real_worker_parts, ledger_url, handler) as it, reading_ledger(ledger_url) as rows:
        it.feed(status("a", "customer_mia"))
        taken = real_worker_parts.read_new(it.stream)
        it.process(taken)
        real_worker_parts.client.xadd(it.stream, {keys.FIELD_EVENT: taken[0].fields[keys.FIELD_EVENT]})
        real_worker_parts.client.hincrby(keys.COUNTERS, "routed:customer_mia", 1)  # as if it had never been acknowledged
        it.work()
        assert len(rows.of(outbox)) == 1


class Away:
    """A database that is not there, and comes."""

    def __init__(self, url: str, come: Callable[[], None]) -> None:
        self.url, self.come = url, come


@pytest.fixture(params=["sqlite", "postgresql"])
def away(request: pytest.FixtureRequest, tmp_path: Path) -> Away:
    if request.param == "sqlite":
        folder = tmp_path / "not mounted yet"
        return Away(f"sqlite:///{folder / 'ledger.db'}", folder.mkdir)
    url: str = request.getfixturevalue("postgresql_url")
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    server.stop()
    return Away(url, server.start)


def test_a_database_outage_marks_no_event_failed_and_all_are_applied_after_it(
    real_worker_parts: WorkerParts, away: Away
) -> None:
    with bench(real_worker_parts, away.url, picky(rejects)) as it:
        it.feed(*(status(name) for name in ("a", "b", BAD)))
        with pytest.raises(DependencyUnavailableError):
            it.work()
        assert it.counts() == {"routed": 3, "applied": 0, "failed": 0, "waiting": 3}
        assert failures(real_worker_parts.client) == {}
        away.come()
        it.work_again()
        assert it.counts() == {"routed": 3, "applied": 2, "failed": 1, "waiting": 0}


def test_a_service_outage_in_a_handler_marks_no_event_failed(real_worker_parts: WorkerParts, tmp_path: Path) -> None:
    answers: list[Apply] = []

    def call_out(_: UnitOfWork, event: Event) -> None:
        if not answers:
            raise DependencyUnavailableError("the loyalty service")

    with bench(real_worker_parts, f"sqlite:///{tmp_path / 'ledger.db'}", picky(call_out)) as it:
        it.feed(status("a"), status(BAD), status("b"))
        with pytest.raises(DependencyUnavailableError, match="the loyalty service"):
            it.work()
        assert it.counts() == {"routed": 3, "applied": 0, "failed": 0, "waiting": 3}
        answers.append(TIMELINE.apply)
        it.work_again()
        assert it.counts() == {"routed": 3, "applied": 3, "failed": 0, "waiting": 0}


def test_an_event_without_a_body_is_kept_as_failed_and_the_others_are_handled(
    real_worker_parts: WorkerParts, tmp_path: Path
) -> None:
    with bench(real_worker_parts, f"sqlite:///{tmp_path / 'ledger.db'}") as it:
        gone, _ = it.feed(status("a"), status("b"))
        real_worker_parts.client.xdel(keys.INBOX, gone)
        it.work()
        assert it.counts() == {"routed": 2, "applied": 1, "failed": 1, "waiting": 0}
    (failure,) = failures(real_worker_parts.client).values()
    assert (failure.event_id, failure.reason) == (gone, Reason.BODY_MISSING)


def test_a_claim_check_deleted_while_pending_does_not_stop_the_others(real_worker_parts: WorkerParts, ledger_url: str) -> None:
    with bench(real_worker_parts, ledger_url) as it, reading_ledger(ledger_url) as rows:
        it.feed(status("a"))
        it.feed(status("b"))
        taken = real_worker_parts.read_new(it.stream)
        real_worker_parts.client.xdel(it.stream, taken[0].id)
        it.work_again()
        assert [row["order_id"] for row in rows.of(orders)] == ["b"]
    assert real_worker_parts.client.hget(keys.COUNTERS, "applied:timeline") == b"1"


@pytest.mark.parametrize("count", [1, 200])
def test_a_batch_costs_three_round_trips_however_many_events_it_has(
    real_worker_parts: WorkerParts, ledger_url: str, count: int
) -> None:
    with bench(real_worker_parts, ledger_url) as it:
        it.feed(status("first"))
        it.work()  # loads the scripts
        it.feed(*(status(f"order-{number}") for number in range(count)))
        with RedisMonitor(real_worker_parts.url) as monitor:
            it.process(real_worker_parts.store.read(it.stream, "one", 1000))
    commands = [command.partition(" ")[0] for command in monitor.commands]
    assert commands == ["XREADGROUP", "HGET", "XRANGE", "EVALSHA"], "read; load, in one pipeline; acknowledge"


def test_a_handler_gets_only_its_kinds_of_event(real_worker_parts: WorkerParts, tmp_path: Path) -> None:
    seen: list[Kind] = []

    def note(_: UnitOfWork, events: Sequence[Event]) -> None:
        seen.extend(event.kind for event in events)

    handler = Handler("picky", frozenset({Kind.DELIVERED, Kind.CANCELED}), note, NO_RETRY)
    with bench(real_worker_parts, f"sqlite:///{tmp_path / 'ledger.db'}", handler) as it:
        it.feed(*(status("a", name) for name in ("picking", "delivered", "canceled", "staging")))
        it.work()
    assert seen == [Kind.DELIVERED, Kind.CANCELED]
