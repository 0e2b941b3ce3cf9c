"""Multi-row upserts, the same on SQLite and PostgreSQL: the primary key decides, without a read before the write.

SQLite runs one prepared statement for each row, without SQLAlchemy's conversions of each value. PostgreSQL gets all rows as one JSON text in one statement, which takes a
seventh of the worker's CPU time of a statement for each row. In an `upsert` there, no two rows may therefore have the same key.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Result,
    Table,
    Text,
    bindparam,
    case,
    cast,
    column,
    delete,
    false,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.functions import FunctionElement

Row = dict[str, Any]
Insert = postgresql.Insert | sqlite.Insert
Assignments = Mapping[str, ColumnElement[Any]]

Key = tuple[Any, ...]
"""The values of a row's primary key."""

Assign = Callable[[Insert], Assignments]
"""A module-level function, not a closure: each is the key of a cache of compiled statements."""

_ROWS = "rows"


def upsert(connection: Connection, table: Table, rows: Sequence[Row], assign: Assign) -> None:
    """Insert the rows. Where the key exists, apply the assignments of `assign`. All rows have the same columns."""
    _run(connection, table, rows, assign)


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert the rows whose primary key does not exist yet. All rows have the same columns."""
    _run(connection, table, rows, None)


def insert_and_lock(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert the rows whose primary key does not exist yet. Lock the others until the transaction ends, and write nothing.

    PostgreSQL locks a row before it asks the condition of the update, which is never met.
    """
    _run(connection, table, rows, _nothing)


def _nothing(statement: Insert) -> Assignments:
    return {}


def inserted(connection: Connection, table: Table, rows: Sequence[Row]) -> list[Key]:
    """Like `insert_new`; returns the keys of the rows that were inserted."""
    return [tuple(row) for row in _run(connection, table, rows, None, returning=True) or ()]


def delete_keys(connection: Connection, table: Table, keys: Sequence[Key]) -> None:
    """Delete the rows with these primary keys."""
    if keys:
        names = {f"its_{each.name}": each for each in table.primary_key}
        statement = delete(table).where(*(each == bindparam(name) for name, each in names.items()))
        connection.execute(statement, [dict(zip(names, key, strict=True)) for key in keys])


def overwrite(statement: Insert) -> dict[str, ColumnElement[Any]]:
    """Assignments that take every column but the key from the new row."""
    table: Any = statement.table
    return {each.name: statement.excluded[each.name] for each in table.columns if not each.primary_key}


def newer(statement: Insert, table: Table, key_column: str, columns: Sequence[str]) -> dict[str, ColumnElement[Any]]:
    """Assignments that take `columns` and `key_column` from the new row if its ordering key is newer, or if there was none."""
    wins = statement.excluded[key_column].is_not(None) & (
        table.c[key_column].is_(None) | (statement.excluded[key_column] > table.c[key_column])
    )
    return {name: case((wins, statement.excluded[name]), else_=table.c[name]) for name in (*columns, key_column)}


def older(statement: Insert, table: Table, key_column: str, columns: Sequence[str]) -> dict[str, ColumnElement[Any]]:
    """Assignments that take `columns` and `key_column` from the new row if its ordering key is older: the first event wins."""
    wins = statement.excluded[key_column] < table.c[key_column]
    return {name: case((wins, statement.excluded[name]), else_=table.c[name]) for name in (*columns, key_column)}


class greatest(FunctionElement[Any]):  # noqa: N801 - an SQL function
    """The greatest of its arguments. If one is NULL, the databases differ."""

    name, inherit_cache = "greatest", True


class least(FunctionElement[Any]):  # noqa: N801 - an SQL function
    """The least of its arguments. If one is NULL, the databases differ."""

    name, inherit_cache = "least", True


@compiles(greatest)
@compiles(least)
def _to_sql(element: FunctionElement[Any], compiler: Any, **options: Any) -> str:
    names = {"greatest": "max", "least": "min"} if compiler.dialect.name == "sqlite" else {}
    return f"{names.get(element.name, element.name)}({compiler.process(element.clauses, **options)})"


def _run(
    connection: Connection, table: Table, rows: Sequence[Row], assign: Assign | None, *, returning: bool = False
) -> Result[Any] | None:
    if not rows:
        return None
    if connection.dialect.name == "postgresql":
        text = _postgresql_text(table, tuple(rows[0]), assign, returning)
        return connection.exec_driver_sql(text, {_ROWS: orjson.dumps(rows, default=str).decode()})
    if returning:
        return connection.execute(_completed(sqlite.insert(table), table, assign, returning), rows)
    return _sqlite_statement(table, tuple(rows[0]), assign).run(connection, rows)


class _SqliteStatement:
    """A statement's text for the driver, and the conversion of its rows: SQLAlchemy's own costs more than SQLite does."""

    def __init__(self, table: Table, columns: Sequence[str], assign: Assign | None) -> None:
        statement, dialect = _completed(sqlite.insert(table), table, assign, returning=False), SQLiteDialect_pysqlite()
        compiled: Any = statement.compile(dialect=dialect, column_keys=list(columns))
        names: Sequence[str] = compiled.positiontup
        if sorted(names) != sorted(columns):
            raise TypeError(f"{table}: expected no parameters but {sorted(columns)}, got {sorted(names)}")
        self._text, self._values_of = str(compiled), itemgetter(*names)
        converters = [table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]
        self._converters = [(place, convert) for place, convert in enumerate(converters) if convert is not None]

    def run(self, connection: Connection, rows: Sequence[Row]) -> Result[Any]:
        return connection.exec_driver_sql(self._text, [self._converted(row) for row in rows])

    def _converted(self, row: Row) -> tuple[Any, ...]:
        values = list(self._values_of(row))
        for place, convert in self._converters:
            if values[place] is not None:
                values[place] = convert(values[place])
        return tuple(values)


_sqlite_statement = cache(_SqliteStatement)


@cache
def _postgresql_text(table: Table, columns: Sequence[str], assign: Assign | None, returning: bool) -> str:
    """The statement's text for the driver, cached: building and compiling it costs as much as the rest of a batch."""
    sent = _recordset([column(name, table.c[name].type) for name in columns], bindparam(_ROWS, type_=Text))
    statement = postgresql.insert(table).from_select(list(columns), select(sent))
    compiled = _completed(statement, table, assign, returning).compile(dialect=PGDialect_psycopg())  # type: ignore[no-untyped-call]
    if set(compiled.params) != {_ROWS}:
        raise TypeError(f"{table}: expected no parameter but the rows, got {sorted(compiled.params)}")
    return str(compiled)


def _completed(statement: Insert, table: Table, assign: Assign | None, returning: bool) -> Insert | ReturningInsert[Any]:
    if assign is None:
        statement = statement.on_conflict_do_nothing()
    elif assign is _nothing:
        key = next(iter(table.primary_key)).name
        same = {key: statement.excluded[key]}
        statement = statement.on_conflict_do_update(index_elements=table.primary_key, set_=same, where=false())
    else:
        statement = statement.on_conflict_do_update(index_elements=table.primary_key, set_=assign(statement))
    return statement.returning(*table.primary_key) if returning else statement


def _recordset(columns: Sequence[ColumnElement[Any]], rows: ColumnElement[str]) -> Any:
    """The rows of one JSON text, with these columns."""
    return (
        func.json_to_recordset(cast(rows, postgresql.JSON)).table_valued(*columns).render_derived(name="sent", with_types=True)
    )
