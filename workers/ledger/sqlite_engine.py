"""The engine on SQLite. Transactions begin as writers, so no two of them can deadlock."""

import sqlite3
import time
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext

from workers.ledger.connection_options import ERRORS, READS_ONLY

BUSY_TIMEOUT_SECONDS = 15
_OF_FILE = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
}
"""After these the file is opened again: it may be another one now."""


def open_sqlite(url: str) -> Engine:
    """Create the engine."""
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin_immediate)
    event.listen(engine, "handle_error", _on_error)
    return engine


def _prepare(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we begin and end transactions, not the driver
    cursor = connection.cursor()
    _use_wal(cursor)
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Switch to WAL. One connection converts a new file; meanwhile SQLite refuses the others without waiting, so they retry."""
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_immediate(connection: Connection) -> None:
    reads_only = connection.get_execution_options().get(READS_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _on_error(context: ExceptionContext) -> None:
    if context.connection is None:
        return
    errors: list[BaseException] | None = context.connection.get_execution_options().get(ERRORS)
    if errors is not None:
        errors.append(context.sqlalchemy_exception or context.original_exception)
    in_memory = context.connection.engine.url.database in (None, "", ":memory:")
    if getattr(context.original_exception, "sqlite_errorcode", 0) & 0xFF in _OF_FILE and not in_memory:
        context.is_disconnect = True
