"""A database that cannot hold every text is refused in one sentence, and no event is blamed for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.events import Kind
from tests.contract.handler_events import event
from tests.support.command_line import in_process
from tests.support.ledger_fixture import open_ledger_fixture
from tests.support.live_deployment import Worker
from tests.support.postgresql_server import PostgresqlServer
from tests.support.settings import environment_for_tests
from workers.errors import UnsuitableDatabaseError


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def narrow_url(request: pytest.FixtureRequest, postgresql: PostgresqlServer) -> Iterator[str]:
    """The URL of a database in another encoding than UTF8."""
    name = postgresql.create_database(request.param)
    yield postgresql.url(name)
    postgresql.drop_database(name)


def test_a_database_in_another_encoding_makes_a_batch_wait(narrow_url: str) -> None:
    with open_ledger_fixture(narrow_url) as ledger_fixture, pytest.raises(UnsuitableDatabaseError, match="ENCODING 'UTF8'"):
        ledger_fixture.apply_each(event(Kind.PICKING, 1, "Zürich 漢"))


def test_a_worker_and_migrate_refuse_a_database_in_another_encoding_in_one_sentence(narrow_url: str, tmp_path: Path) -> None:
    said = in_process("migrate", environment=environment_for_tests(DATABASE_URL=narrow_url))
    worker = Worker("refused", tmp_path, DATABASE_URL=narrow_url)
    worker.start()
    assert (said.exit_code, worker.wait()) == (2, 2)
    for each in (said.errors, worker.log):
        assert each.startswith("DATABASE_URL: the database, whose encoding is ")
        assert each.count("\n") == 1


def test_texts_in_any_script_are_read_back_whatever_encoding_the_client_would_choose(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with open_ledger_fixture(postgresql_url) as ledger_fixture:
        ledger_fixture.apply_each(event(Kind.PICKING, 1, "Zürich 漢 😀"))
        assert ledger_fixture.row("orders")["order_id"] == "Zürich 漢 😀"
