"""What a test reads from the ledger, beside the processes that write it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, Table, create_engine, select
from sqlalchemy.exc import DBAPIError

Row = dict[str, Any]


class Rows:
    """Reads tables of a ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, table: Table, **where: object) -> list[Row]:
        """The rows with these values, sorted by the table's key; none while the tables are not made yet."""
        statement = select(table).where(*(table.c[name] == value for name, value in where.items()))
        try:
            with self._engine.connect() as connection:
                return [dict(row) for row in connection.execute(statement.order_by(*table.primary_key)).mappings()]
        except DBAPIError:
            return []


@contextmanager
def reading(database_url: str) -> Iterator[Rows]:
    """Read a ledger for a while."""
    engine = create_engine(database_url)
    try:
        yield Rows(engine)
    finally:
        engine.dispose()
