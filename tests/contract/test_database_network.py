"""The network between a worker and PostgreSQL: silent, hanging, or leading to another server after a failover."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import keys
from schemas.events import Kind
from tests.contract.handler_events import event
from tests.support.event_sums import failures
from tests.support.ledger_fixture import LedgerFixture, open_ledger_fixture
from tests.support.live_deployment import Worker
from tests.support.postgresql_server import PostgresqlServer
from tests.support.settings import LOOPBACK, make_settings
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.waiting import wait_for
from tests.support.worker_parts import WorkerParts, status
from workers.errors import DependencyUnavailableError
from workers.ledger import postgresql_engine
from workers.ledger.ledger import Ledger
from workers.ledger.tables import orders


@pytest.fixture
def proxy(postgresql: PostgresqlServer) -> Iterator[TcpProxy]:
    """A proxy before the server."""
    with tcp_proxy(postgresql.socket) as proxy:
        yield proxy


def through(proxy: TcpProxy, url: str) -> str:
    """The URL of the same database through the proxy."""
    name = url.split("@/")[1].split("?", maxsplit=1)[0]
    return f"postgresql+psycopg://postgres@{LOOPBACK}:{proxy.port}/{name}"


def works(ledger_fixture: LedgerFixture, order: str) -> bool:
    try:
        ledger_fixture.apply_each(event(Kind.PICKING, 1, order))
    except DependencyUnavailableError:
        return False
    return True


def test_a_network_that_goes_silent_is_an_outage_and_another_connection_is_used_after_it(
    postgresql_url: str, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_engine.DeadlineConnection, "answer_seconds", 0.5)
    monkeypatch.setitem(postgresql_engine._PARAMETERS, "connect_timeout", 2)
    with open_ledger_fixture(through(proxy, postgresql_url)) as ledger_fixture:
        assert works(ledger_fixture, "before")
        proxy.is_silent = True
        assert not works(ledger_fixture, "the connection is open"), "no answer"
        assert not works(ledger_fixture, "a new connection"), "connecting hangs"
        proxy.is_silent = False
        assert works(ledger_fixture, "after")
        assert [row["order_id"] for row in ledger_fixture.rows(orders.name)] == ["after", "before"]


def test_a_connection_that_is_cut_within_a_statement_is_an_outage(postgresql_url: str, proxy: TcpProxy) -> None:
    with open_ledger_fixture(through(proxy, postgresql_url)) as ledger_fixture:
        assert works(ledger_fixture, "before")
        cutter = threading.Timer(0.2, proxy.cut)
        cutter.start()
        with pytest.raises(DependencyUnavailableError), ledger_fixture.ledger.begin() as connection:
            connection.exec_driver_sql("SELECT pg_sleep(10)")
        cutter.join()
        assert works(ledger_fixture, "after")


def test_the_longest_silence_is_noticed_within_half_a_minute() -> None:
    assert postgresql_engine.STATEMENT_TIMEOUT_MS / 1000 < postgresql_engine.ANSWER_SECONDS, "the server answers before"
    assert postgresql_engine.ANSWER_SECONDS + postgresql_engine.CONNECT_SECONDS <= 30


def test_a_stopping_worker_does_not_wait_for_a_silent_network(
    postgresql_url: str, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_engine, "STOPPING_SECONDS", 0.2)
    monkeypatch.setattr(postgresql_engine.DeadlineConnection, "answer_seconds", 3600.0)
    stopping = threading.Event()
    ledger = Ledger(make_settings(DATABASE_URL=through(proxy, postgresql_url)), stopping=stopping)
    said: list[BaseException] = []

    def work() -> None:
        try:
            with ledger.begin() as connection:
                connection.exec_driver_sql("SELECT 1")
        except DependencyUnavailableError as error:
            said.append(error)

    ledger.migrate()
    proxy.is_silent = True
    thread = threading.Thread(target=work)
    thread.start()
    stopping.set()
    thread.join(20)
    assert not thread.is_alive()
    assert len(said) == 1
    ledger.close()


def test_a_stopping_worker_opens_no_connection(postgresql_url: str) -> None:
    stopping = threading.Event()
    stopping.set()
    ledger = Ledger(make_settings(DATABASE_URL=postgresql_url), stopping=stopping)
    with pytest.raises(DependencyUnavailableError, match="OperationalError"), ledger.begin():
        pass
    ledger.close()


_IMPATIENT = """
from workers.__main__ import main
from workers.ledger.postgresql_engine import DeadlineConnection
DeadlineConnection.answer_seconds = 1.0
raise SystemExit(main())
"""


class ImpatientWorker(Worker):
    """A worker that waits for an answer of the database for a second only."""

    def __init__(self, folder: Path, **environment: str) -> None:
        super().__init__("impatient", folder, **environment)
        self._command = [sys.executable, "-c", _IMPATIENT, *self._command[3:]]


@pytest.mark.leaves_pending
def test_status_says_that_the_database_is_silent_and_sigterm_is_obeyed_meanwhile(
    real_worker_parts: WorkerParts, postgresql_url: str, proxy: TcpProxy, tmp_path: Path
) -> None:
    worker = ImpatientWorker(tmp_path, REDIS_URL=real_worker_parts.url, DATABASE_URL=through(proxy, postgresql_url))
    worker.start()
    try:
        worker.wait_until_ready()
        real_worker_parts.append(status("before"))
        wait_for(lambda: real_worker_parts.client.hget(keys.COUNTERS, "applied:timeline"), 20, "an event to be applied")
        proxy.is_silent = True
        real_worker_parts.append(status("meanwhile"))
        wait_for(lambda: real_worker_parts.client.hget(keys.UNREACHABLE, "timeline"), 30, "the outage to be noted")
        worker.terminate()
        assert worker.wait() == 0
        assert failures(real_worker_parts.client) == {}
    finally:
        worker.discard()


def test_after_a_failover_no_connection_to_the_read_only_side_is_used(
    postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    name = postgresql_url.split("@/")[1].split("?", maxsplit=1)[0]
    with open_ledger_fixture(postgresql_url) as ledger_fixture:
        ledger_fixture.ledger.migrate()
        postgresql.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # for connections from here on
        ledger_fixture.ledger.close()
        with ledger_fixture.ledger.read(), ledger_fixture.ledger.read():
            pass  # two connections are in the pool
        assert not works(ledger_fixture, "a")
        postgresql.run(f"ALTER DATABASE {name} RESET default_transaction_read_only")  # only new connections can write
        assert works(ledger_fixture, "a"), "at once"
        assert works(ledger_fixture, "b")


def test_an_address_that_leads_to_another_server_is_followed(postgresql_url: str, proxy: TcpProxy) -> None:
    with open_ledger_fixture(through(proxy, postgresql_url)) as ledger_fixture:
        assert works(ledger_fixture, "a")
        here, proxy.target = proxy.target, Path("/nowhere")
        proxy.cut()
        assert not works(ledger_fixture, "b")
        proxy.target = here
        assert works(ledger_fixture, "b")


@pytest.mark.parametrize("state", ["57P01", "25006"])
def test_a_connection_that_met_an_outage_is_not_used_again_nor_are_those_as_old(
    postgresql: PostgresqlServer, postgresql_url: str, state: str
) -> None:
    with open_ledger_fixture(postgresql_url) as ledger_fixture:
        assert works(ledger_fixture, "a")
        with ledger_fixture.ledger.begin() as one, ledger_fixture.ledger.begin() as two:
            old = {each.exec_driver_sql("SELECT pg_backend_pid()").scalar() for each in (one, two)}
        with pytest.raises(DependencyUnavailableError), ledger_fixture.ledger.begin() as connection:
            connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")
        with ledger_fixture.ledger.begin() as one, ledger_fixture.ledger.begin() as two:
            new = {each.exec_driver_sql("SELECT pg_backend_pid()").scalar() for each in (one, two)}
        assert not old & new
