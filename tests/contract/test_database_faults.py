"""Whose fault a database error is: a right, a table or the disk blames no event, and all are applied when it is mended."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from schemas import keys
from schemas.events import Event
from schemas.failures import FailureState, Reason
from tests.contract.handler_runner_bench import BAD, EVENTS, TIMELINE, bench, picky
from tests.support.event_sums import failures
from tests.support.ledger_fixture import HANDLERS
from tests.support.postgresql_server import PostgresqlServer
from tests.support.worker_parts import WorkerParts, refund, status
from workers import batch_applier
from workers.errors import DependencyUnavailableError, PermanentError, StatementRefusedError
from workers.failures.retry_policy import NO_RETRY
from workers.handler import Handler, UnitOfWork
from workers.ledger.faults import Fault, fault_of

CASES = {
    "privilege revoked": ("REVOKE ALL ON refunds FROM app", "GRANT ALL ON refunds TO app", "42501 InsufficientPrivilege"),
    "table missing": ("ALTER TABLE refunds RENAME TO gone", "ALTER TABLE gone RENAME TO refunds", "42P01 UndefinedTable"),
    "column missing": (
        "ALTER TABLE refunds RENAME unit TO gone",
        "ALTER TABLE refunds RENAME gone TO unit",
        "42703 UndefinedColumn",
    ),
    "read only": (
        "ALTER ROLE app SET default_transaction_read_only = on",
        "ALTER ROLE app RESET default_transaction_read_only",
        "25006 ReadOnlySqlTransaction",
    ),
    "no connection allowed": ("ALTER ROLE app NOLOGIN", "ALTER ROLE app LOGIN", "OperationalError"),
}


@pytest.fixture
def app_url(postgresql: PostgresqlServer, postgresql_url: str) -> Iterator[str]:
    """The ledger's URL for a role of its own, without any right of the database's owner."""
    name = postgresql_url.split("@/")[1].split("?", maxsplit=1)[0]
    postgresql.run("DROP ROLE IF EXISTS app")
    postgresql.run("CREATE ROLE app LOGIN")
    postgresql.run("GRANT ALL ON SCHEMA public TO app", name)
    yield postgresql_url.replace("postgres@", "app@")
    postgresql.run("DROP OWNED BY app", name)
    postgresql.run("DROP ROLE app")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("count", [1, 40])
def test_what_the_database_refuses_to_every_event_blames_none_and_is_applied_when_it_is_mended(
    real_worker_parts: WorkerParts, postgresql: PostgresqlServer, app_url: str, case: str, count: int
) -> None:
    break_it, mend, label = CASES[case]
    name = app_url.split("@/")[1].split("?", maxsplit=1)[0]
    with bench(real_worker_parts, app_url, HANDLERS["refunds"]) as it:
        it.feed(refund("first", "bread"))
        it.work()
        postgresql.run("REASSIGN OWNED BY app TO postgres", name)
        postgresql.run("GRANT ALL ON ALL TABLES IN SCHEMA public TO app", name)
        postgresql.run(break_it, name)
        if "ROLE" in break_it:
            postgresql.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        it.feed(*(refund(f"o{number}", "bread") for number in range(count)))
        with pytest.raises(DependencyUnavailableError):
            it.work()  # a terminated connection is another outage
        with pytest.raises(DependencyUnavailableError, match=label):
            it.work_again()
        assert it.counts() == {"routed": count + 1, "applied": 1, "failed": 0, "waiting": count}
        postgresql.run(mend, name)
        it.work_again()
        assert it.counts() == {"routed": count + 1, "applied": count + 1, "failed": 0, "waiting": 0}


def queries_for(order: str | None, statement: str) -> Handler:
    """The timeline handler, which runs a statement for one order, or for every one."""

    def apply(work: UnitOfWork, events: Sequence[Event]) -> None:
        TIMELINE.apply(work, events)
        for event in events:
            if order is None or event.order_ids == (order,):
                work.connection.execute(text(statement))

    return Handler("picky", None, apply, NO_RETRY)


def test_a_statement_that_works_for_the_others_of_the_batch_is_the_events_fault(
    real_worker_parts: WorkerParts, ledger_url: str
) -> None:
    """An error whose code leaves it in doubt, for one value: of SQLite's JSON functions, or of a function in PostgreSQL."""

    def apply(work: UnitOfWork, events: Sequence[Event]) -> None:
        statement = "SELECT json(:x)"
        if work.connection.dialect.name == "postgresql":
            statement = "SELECT pg_temp.refuses(:x)"
            work.connection.execute(text(_REFUSES))
        for event in events:
            work.connection.execute(text(statement), {"x": "bad" if event.order_ids == (BAD,) else "1"})

    with bench(real_worker_parts, ledger_url, Handler("picky", None, apply, NO_RETRY)) as it:
        ids = it.feed(*(status(f"order-{number}") for number in range(EVENTS)))
        it.work()
        assert it.counts() == {"routed": EVENTS, "applied": EVENTS - 1, "failed": 1, "waiting": 0}
    (failure,) = failures(real_worker_parts.client).values()
    assert (failure.event_id, failure.reason, failure.state) == (ids[117], Reason.LEDGER_REFUSED, FailureState.DEAD)


_REFUSES = """CREATE OR REPLACE FUNCTION pg_temp.refuses(x text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN IF x = 'bad' THEN RAISE EXCEPTION USING ERRCODE = '42501'; END IF; RETURN x; END $$"""


def test_a_statement_that_only_one_event_of_the_batch_runs_sets_it_aside_and_blames_none(
    real_worker_parts: WorkerParts, ledger_url: str
) -> None:
    with bench(real_worker_parts, ledger_url, queries_for(BAD, "SELECT nothing FROM nowhere")) as it:
        ids = it.feed(*(status(f"order-{number}") for number in range(EVENTS)))
        it.work()
        assert it.counts() == {"routed": EVENTS, "applied": EVENTS - 1, "failed": 1, "waiting": 0}
    (failure,) = failures(real_worker_parts.client).values()
    assert (failure.event_id, failure.state, failure.attempts) == (ids[117], FailureState.RETRYING, 0)


def test_a_right_that_is_lost_while_a_batch_is_sifted_blames_no_event(real_worker_parts: WorkerParts, ledger_url: str) -> None:
    calls: list[int] = []
    works: list[bool] = []

    def apply(work: UnitOfWork, events: Sequence[Event]) -> None:
        calls.append(len(events))
        if not works and (calls.count(1) != 1 or len(events) > 1):  # only the first event that is tried alone can be applied
            work.connection.execute(text("SELECT nothing FROM nowhere"))

    with bench(real_worker_parts, ledger_url, Handler("picky", None, apply, NO_RETRY)) as it:
        it.feed(*(status(f"order-{number}") for number in range(10)))
        with pytest.raises(StatementRefusedError):
            it.work()
        assert calls[:2] == [10, 1]
        assert it.counts() == {"routed": 10, "applied": 0, "failed": 0, "waiting": 10}
        works.append(True)
        it.work_again()


def test_a_handler_with_wrong_sql_waits_and_an_event_behind_it_is_not_blocked_for_ever(
    real_worker_parts: WorkerParts, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench(real_worker_parts, ledger_url, queries_for(BAD, "SELECT nothing FROM nowhere")) as it:
        it.feed(status(BAD))
        with pytest.raises(StatementRefusedError, match="refuses a statement"):
            it.work()
        it.feed(status("behind"))
        monkeypatch.setattr(batch_applier, "GRACE_SECONDS", -batch_applier.PERIOD_SECONDS)
        it.work_again()
        it.work()
        assert it.counts() == {"routed": 2, "applied": 1, "failed": 1, "waiting": 0}
    (failure,) = failures(real_worker_parts.client).values()
    assert (failure.state, failure.attempts, failure.away) == (FailureState.RETRYING, 0, 1), "retried by itself, never dead"
    assert real_worker_parts.client.hget(keys.UNREACHABLE, "picky.retry") is not None


class _Careless:
    """What handlers make of a database error."""

    @staticmethod
    def renames_it(work: UnitOfWork, _: Event) -> None:
        try:
            work.connection.execute(text("SELECT 1 FROM nowhere"))
        except DBAPIError as error:
            raise PermanentError("no such order") from error

    @staticmethod
    def hides_it(work: UnitOfWork, _: Event) -> None:
        with suppress(DBAPIError):
            work.connection.execute(text("SELECT 1 FROM nowhere"))

    @staticmethod
    def goes_on(work: UnitOfWork, event: Event) -> None:
        _Careless.hides_it(work, event)
        work.connection.execute(text("SELECT 1"))


@pytest.mark.parametrize("refuse", [_Careless.renames_it, _Careless.hides_it, _Careless.goes_on])
def test_what_a_handler_makes_of_an_error_neither_blames_an_event_nor_loses_the_batch(
    real_worker_parts: WorkerParts, postgresql_url: str, refuse: Callable[[UnitOfWork, Event], None]
) -> None:
    with bench(real_worker_parts, postgresql_url, picky(refuse)) as it:
        it.feed(status(BAD))
        with pytest.raises(StatementRefusedError, match="42P01"):
            it.work()
        assert it.counts() == {"routed": 1, "applied": 0, "failed": 0, "waiting": 1}
        _run(postgresql_url, "CREATE TABLE nowhere (x INTEGER)")
        it.work_again()
        assert it.counts() == {"routed": 1, "applied": 1, "failed": 0, "waiting": 0}


def test_an_event_whose_error_a_handler_catches_is_at_fault_and_holds_up_no_other(
    real_worker_parts: WorkerParts, postgresql_url: str
) -> None:
    def goes_on(work: UnitOfWork, _: Event) -> None:
        with suppress(DBAPIError):
            work.connection.execute(text("SELECT 1 / 0"))
        work.connection.execute(text("SELECT 1"))

    with bench(real_worker_parts, postgresql_url, picky(goes_on)) as it:
        it.feed(*[status(f"o-{number}") for number in range(5)], status(BAD))
        it.work()
        assert it.counts() == {"routed": 6, "applied": 5, "failed": 1, "waiting": 0}
        (failure,) = failures(real_worker_parts.client).values()
        assert "DivisionByZero" in failure.message


def _run(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_an_error_that_a_handler_undoes_by_a_savepoint_is_its_own_affair(
    real_worker_parts: WorkerParts, postgresql_url: str
) -> None:
    def tries(work: UnitOfWork, _: Event) -> None:
        try:
            with work.connection.begin_nested():
                work.connection.execute(text("SELECT 1 FROM nowhere"))
        except DBAPIError:
            work.connection.execute(text("SELECT 1"))

    with bench(real_worker_parts, postgresql_url, picky(tries)) as it:
        it.feed(status(BAD))
        it.work()
        assert it.counts() == {"routed": 1, "applied": 1, "failed": 0, "waiting": 0}


def test_a_table_missing_in_sqlite_blames_no_event(real_worker_parts: WorkerParts, tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with bench(real_worker_parts, f"sqlite:///{file}") as it:
        it.feed(status("first"))
        it.work()
        _run(f"sqlite:///{file}", "ALTER TABLE order_events RENAME TO gone")
        it.feed(status("a"), status("b"))
        with pytest.raises(StatementRefusedError):
            it.work()
        assert it.counts() == {"routed": 3, "applied": 1, "failed": 0, "waiting": 2}
        _run(f"sqlite:///{file}", "ALTER TABLE gone RENAME TO order_events")
        it.work_again()
        assert it.counts() == {"routed": 3, "applied": 3, "failed": 0, "waiting": 0}


def test_a_full_disk_under_sqlite_blames_no_event(real_worker_parts: WorkerParts, tmp_path: Path) -> None:
    with bench(real_worker_parts, f"sqlite:///{tmp_path / 'ledger.db'}") as it:
        it.feed(status("first"))
        it.work()
        with it.ledger.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")  # of the pool's one connection
        it.feed(*(status(f"{number}" + "x" * 200) for number in range(EVENTS)))
        with pytest.raises(DependencyUnavailableError):
            it.work()
        assert it.counts() == {"routed": EVENTS + 1, "applied": 1, "failed": 0, "waiting": EVENTS}
        with it.ledger.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        it.work_again()
        assert it.counts() == {"routed": EVENTS + 1, "applied": EVENTS + 1, "failed": 0, "waiting": 0}


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (sqlite3.SQLITE_READONLY, Fault.WORLD),
        (sqlite3.SQLITE_IOERR_FSYNC, Fault.WORLD),
        (sqlite3.SQLITE_CORRUPT, Fault.WORLD),
        (sqlite3.SQLITE_FULL, Fault.WORLD),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Fault.WORLD),
        (sqlite3.SQLITE_ERROR, Fault.IN_DOUBT),
        (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, Fault.EVENT),
        (sqlite3.SQLITE_TOOBIG, Fault.EVENT),
    ],
)
def test_sqlites_codes_say_whose_fault_it_is(code: int, fault: Fault) -> None:
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    assert fault_of(DBAPIError("", {}, error)) is fault
    assert fault_of(error) is fault
