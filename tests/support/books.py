"""A ledger for tests: apply events to it, and read its rows as plain dictionaries."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import select, text

from schemas.events import Event
from schemas.settings import Settings
from tests.support.ledger import Postgresql
from tests.support.settings import make_settings
from workers.handler import Handler, registered
from workers.ledger.ledger import Ledger
from workers.ledger.tables import metadata

HANDLERS = {each.name: each for each in registered()}


class Books:
    """A ledger to apply events to and to read back."""

    def __init__(self, url: str, **environment: str) -> None:
        self.settings: Settings = make_settings(DATABASE_URL=url, **environment)
        self.ledger = Ledger(self.settings)

    def apply(self, handler: str, *events: Event) -> bool:
        """One handler applies a batch in a transaction; gives whether somebody is to be alerted."""
        known: Handler = HANDLERS[handler]
        return bool(self.ledger.apply(known, events))

    def tell(self, *events: Event) -> None:
        """Every handler that wants them applies these events, one by one, as at low load."""
        for each in events:
            for handler in HANDLERS.values():
                if handler.wants(each.kind):
                    self.apply(handler.name, each)

    def tell_at_once(self, *events: Event) -> None:
        """Every handler applies those of these events that it wants in one batch, as under load."""
        for handler in HANDLERS.values():
            if batch := [each for each in events if handler.wants(each.kind)]:
                self.apply(handler.name, *batch)

    def rows(self, table: str, order: str | None = None) -> list[dict[str, Any]]:
        """The rows of a table, or those of one order, in the order of its key."""
        its = metadata.tables[table]
        query = select(its).order_by(*its.primary_key)
        if order is not None:
            query = query.where(its.c.order_id == order)
        with self.ledger.begin() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def row(self, table: str, order: str | None = None) -> dict[str, Any]:
        """The only row."""
        (row,) = self.rows(table, order)
        return row

    def alerts(self) -> list[str]:
        """The titles of all that people are told, through the log."""
        return [row["title"] for row in self.rows("outbox") if row["channel"] == "log"]

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        """Collect the SQL statements that are run meanwhile, each batch of parameters once."""
        statements: list[str] = []

        def note(*details: Any) -> None:
            statements.append(details[2])

        sqlalchemy_event.listen(self.ledger.engine, "before_cursor_execute", note)
        try:
            yield statements
        finally:
            sqlalchemy_event.remove(self.ledger.engine, "before_cursor_execute", note)


@contextmanager
def open_books(url: str, **environment: str) -> Iterator[Books]:
    """A ledger under these settings, closed afterwards."""
    books = Books(url, **environment)
    try:
        yield books
    finally:
        books.ledger.close()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger, to be copied."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    with open_books(f"sqlite:///{path}") as empty:
        empty.rows("orders")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_process: Postgresql) -> Iterator[str]:
    """A ledger of the session, to be emptied before use."""
    name = postgresql_process.create_database()
    with open_books(postgresql_process.url(name)) as empty:
        empty.rows("orders")
    yield postgresql_process.url(name)
    postgresql_process.start()
    postgresql_process.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def books_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty, migrated ledger: each test with it runs on SQLite and on PostgreSQL. Cheaper than a new one, `ledger_url`."""
    if request.param == "sqlite":
        copy = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "ledger.db")
        return f"sqlite:///{copy}"
    request.getfixturevalue("postgresql")
    url: str = request.getfixturevalue("migrated_postgresql")
    with open_books(url) as used, used.ledger.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
    return url


@pytest.fixture
def books(books_url: str) -> Iterator[Books]:
    """An empty ledger: each test with it runs on SQLite and on PostgreSQL."""
    with open_books(books_url) as books:
        yield books


def without(rows: Sequence[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The rows without some columns."""
    return [{name: value for name, value in row.items() if name not in names} for row in rows]
