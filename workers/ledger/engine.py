"""Opens the ledger's engine: SQLite or PostgreSQL, each in a module of its own."""

import threading

from sqlalchemy import Connection, Engine

from workers.ledger.sqlite_engine import open_sqlite


def open_engine(url: str, stopping: threading.Event | None = None) -> Engine:
    """Create the engine. It connects on its first use. `stopping`: set when the process must stop."""
    if url.startswith("sqlite"):
        return open_sqlite(url)
    from workers.ledger.postgresql_engine import open_postgresql  # noqa: PLC0415 - its driver need not be installed

    return open_postgresql(url, stopping)


def is_lost(connection: Connection) -> bool:
    """Whether the connection's transaction can write nothing any more."""
    if connection.invalidated:
        return True
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        return driver is not None and not driver.in_transaction
    from workers.ledger.postgresql_engine import is_aborted  # noqa: PLC0415 - its driver need not be installed

    return is_aborted(connection)
