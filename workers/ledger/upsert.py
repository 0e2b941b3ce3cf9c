"""Multi-row upserts, the same on SQLite and PostgreSQL: the unique key decides, nobody looks first."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case
from sqlalchemy.dialects import postgresql, sqlite

Row = dict[str, Any]
Insert = postgresql.Insert | sqlite.Insert


def insert_into(connection: Connection, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT, in the connection's dialect."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert the rows whose unique key is not there yet."""
    if rows:
        connection.execute(insert_into(connection, table).on_conflict_do_nothing(), rows)


def newer(statement: Insert, table: Table, news: str, columns: Sequence[str]) -> dict[str, ColumnElement[Any]]:
    """Assignments that take `columns` and `news` from the new row if its news is newer, or if there was none."""
    wins = statement.excluded[news].is_not(None) & (table.c[news].is_(None) | (statement.excluded[news] > table.c[news]))
    return {name: case((wins, statement.excluded[name]), else_=table.c[name]) for name in (*columns, news)}


def older(statement: Insert, table: Table, news: str, columns: Sequence[str]) -> dict[str, ColumnElement[Any]]:
    """Assignments that take `columns` and `news` from the new row if its news is older: what was said first stays."""
    wins = statement.excluded[news] < table.c[news]
    return {name: case((wins, statement.excluded[name]), else_=table.c[name]) for name in (*columns, news)}
