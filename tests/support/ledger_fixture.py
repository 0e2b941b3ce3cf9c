"""Ledgers for tests, on SQLite and PostgreSQL: apply events, read rows as plain dictionaries."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Table, create_engine, select, text
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.exc import DBAPIError

from schemas.events import Event
from schemas.settings import Settings
from tests.support.postgresql_server import PostgresqlServer
from tests.support.settings import make_settings
from workers.handler import Handler, registered
from workers.ledger.ledger import Ledger
from workers.ledger.tables import metadata

HANDLERS = {each.name: each for each in registered()}


class LedgerFixture:
    """A ledger to apply events to and to read from. `now`: the time at which it handles events; None: the real time."""

    def __init__(self, url: str, **environment: str) -> None:
        self.settings: Settings = make_settings(DATABASE_URL=url, **environment)
        self.now: datetime | None = None
        self.ledger = Ledger(self.settings, lambda: self.now or datetime.now(UTC))

    def apply(self, handler: str, *events: Event) -> bool:
        """Apply a batch with one handler in one transaction. Return whether it wrote an alert."""
        known: Handler = HANDLERS[handler]
        return bool(self.ledger.apply(known, events))

    def apply_each(self, *events: Event) -> None:
        """Apply these events one by one, each with every handler that wants it, as under low load."""
        for each in events:
            for handler in HANDLERS.values():
                if handler.wants(each.kind):
                    self.apply(handler.name, each)

    def apply_in_batches(self, *events: Event) -> None:
        """Apply these events as one batch for each handler, as under load."""
        for handler in HANDLERS.values():
            if batch := [each for each in events if handler.wants(each.kind)]:
                self.apply(handler.name, *batch)

    def rows(self, table: str, order: str | None = None) -> list[dict[str, Any]]:
        """The rows of a table, of one order if given, sorted by the primary key."""
        its = metadata.tables[table]
        query = select(its).order_by(*its.primary_key)
        if order is not None:
            query = query.where(its.c.order_id == order)
        with self.ledger.begin() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def row(self, table: str, order: str | None = None) -> dict[str, Any]:
        """The only row of a table, of one order if given."""
        (row,) = self.rows(table, order)
        return row

    def alerts(self) -> list[str]:
        """The titles of all alerts, as the log channel gets them, without their age."""
        return [row["title"].partition(" (reported ")[0] for row in self.rows("outbox") if row["channel"] == "log"]

    @contextmanager
    def recording_statements(self) -> Iterator[list[str]]:
        """Collect the SQL statements that run inside the context; an executemany counts once."""
        statements: list[str] = []

        def note(*details: Any) -> None:
            statements.append(details[2])

        sqlalchemy_event.listen(self.ledger.engine, "before_cursor_execute", note)
        try:
            yield statements
        finally:
            sqlalchemy_event.remove(self.ledger.engine, "before_cursor_execute", note)


@contextmanager
def open_ledger_fixture(url: str, **environment: str) -> Iterator[LedgerFixture]:
    """A ledger under these settings, closed on exit."""
    ledger_fixture = LedgerFixture(url, **environment)
    try:
        yield ledger_fixture
    finally:
        ledger_fixture.ledger.close()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite ledger that tests copy."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    with open_ledger_fixture(f"sqlite:///{path}") as empty:
        empty.rows("orders")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_process: PostgresqlServer) -> Iterator[str]:
    """The session's migrated PostgreSQL ledger, which `migrated_ledger_url` empties before each use."""
    name = postgresql_process.create_database()
    with open_ledger_fixture(postgresql_process.url(name)) as empty:
        empty.rows("orders")
    yield postgresql_process.url(name)
    postgresql_process.start()
    postgresql_process.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated, empty ledger, on SQLite and on PostgreSQL. Cheaper than `ledger_url`, a new database."""
    if request.param == "sqlite":
        copy = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "ledger.db")
        return f"sqlite:///{copy}"
    request.getfixturevalue("postgresql")
    url: str = request.getfixturevalue("migrated_postgresql")
    with open_ledger_fixture(url) as used, used.ledger.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
    return url


@pytest.fixture
def ledger_fixture(migrated_ledger_url: str) -> Iterator[LedgerFixture]:
    """A migrated, empty ledger; the test runs on SQLite and on PostgreSQL."""
    with open_ledger_fixture(migrated_ledger_url) as ledger_fixture:
        yield ledger_fixture


def without(rows: Sequence[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The rows without these columns."""
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


Row = dict[str, Any]


class LedgerReader:
    """Reads a ledger beside the processes that write it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, table: Table, **where: object) -> list[Row]:
        """The rows with these values, sorted by the primary key; none while the table does not exist."""
        statement = select(table).where(*(table.c[name] == value for name, value in where.items()))
        try:
            with self._engine.connect() as connection:
                return [dict(row) for row in connection.execute(statement.order_by(*table.primary_key)).mappings()]
        except DBAPIError:
            return []


@contextmanager
def reading_ledger(database_url: str) -> Iterator[LedgerReader]:
    """A reader of the ledger at this URL, closed on exit."""
    engine = create_engine(database_url)
    try:
        yield LedgerReader(engine)
    finally:
        engine.dispose()
