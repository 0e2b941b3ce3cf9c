"""Whose fault a database error is. One table decides, for PostgreSQL by SQLSTATE, for SQLite by its result code.

| whose | PostgreSQL | SQLite | what happens |
|---|---|---|---|
| the event's | classes 02, 09, 20 to 24, 27, 2F, 34, 38, 39, 3B, 44, 54, P0; 40002 | constraint, mismatch, too big, range, misuse | the event fails |
| held up: another transaction's | class 40, 55P03, 55006, 57014 | – | the batch is sifted: the events that meet the lock are set aside, the others applied |
| the world's | classes 08, 25, 26, 28, 3D, 53, 57, F0, 42P05, no SQLSTATE | all others: busy, read-only, full, I/O, corrupt … | the batch waits; the connection is not used again |
| in doubt | all others: 42 (rights, tables, columns), 0A, 2B, 3F, 55, 58, XX … | error 1: no such table … | the event's if the same statement works for others, or else the world's |

An error in doubt never blames an event that is alone. `workers.batch_applier` finds out whether others work. While nothing of a
handler can be applied, its batch waits, and `curbside status` names the SQLSTATE and since when. So a handler with a mistake in
its own SQL waits as well, until it is mended. An error without a code that the driver raises before it sends anything (a wrong
number of parameters, a text with NUL) is the event's.
"""

import sqlite3
from collections.abc import Iterator
from enum import Enum

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class Fault(Enum):
    """Whose fault an error is."""

    EVENT = "event"
    HELD_UP = "held up"
    WORLD = "world"
    IN_DOUBT = "in doubt"


_EVENT = {"02", "09", "20", "21", "22", "23", "24", "27", "2F", "34", "38", "39", "3B", "44", "54", "P0"}
_HELD_UP = {"40"}
_WORLD = {"08", "25", "26", "28", "3D", "53", "57", "F0"}
_BY_CLASS = {
    **dict.fromkeys(_EVENT, Fault.EVENT),
    **dict.fromkeys(_HELD_UP, Fault.HELD_UP),
    **dict.fromkeys(_WORLD, Fault.WORLD),
}
_BY_STATE = {
    "40002": Fault.EVENT,
    "42P05": Fault.WORLD,
    **dict.fromkeys(("55P03", "55006", "57014"), Fault.HELD_UP),
}
_BY_SQLITE_CODE = {
    sqlite3.SQLITE_ERROR: Fault.IN_DOUBT,
    **dict.fromkeys(
        (
            sqlite3.SQLITE_CONSTRAINT,
            sqlite3.SQLITE_MISMATCH,
            sqlite3.SQLITE_TOOBIG,
            sqlite3.SQLITE_RANGE,
            sqlite3.SQLITE_MISUSE,
        ),
        Fault.EVENT,
    ),
}
"""By primary result code, the low byte of the extended one."""
_ABORTED = "25P02"
_OF_THE_STATEMENT = frozenset({"DataError", "IntegrityError", "NotSupportedError", "ProgrammingError"})
"""The DBAPI's types of errors that concern the statement or its values."""


def fault_of(error: BaseException) -> Fault | None:
    """Whose fault an error is. An error that was raised while a database error was handled counts as that one. None: no database's."""
    for each in _chain(error):
        if isinstance(each, PoolTimeout):
            return Fault.WORLD
        found = each.orig if isinstance(each, DBAPIError) else each
        if found is not None and _is_of_driver(found):
            return _fault_of_driver(found)
    return None


def label_of(error: BaseException) -> str:
    """The SQLSTATE and the type of the database error, or the type alone: never its text, which may quote a row."""
    found = _database_error_of(error)
    return " ".join(filter(None, (sqlstate_of(found), type(found).__name__)))


def _database_error_of(error: BaseException) -> BaseException:
    found = next((each for each in _chain(error) if isinstance(each, DBAPIError | PoolTimeout) or _is_of_driver(each)), error)
    return getattr(found, "orig", None) or found


def statement_of(error: BaseException) -> str | None:
    """The text of the statement that met a database error."""
    return next((each.statement for each in _chain(error) if isinstance(each, DBAPIError)), None)


def sqlstate_of(error: BaseException) -> str:
    """PostgreSQL's code of an error; empty if it has none."""
    return str(getattr(getattr(error, "orig", None) or error, "sqlstate", None) or "")


def is_conflict(error: BaseException) -> bool:
    """Whether another transaction won (deadlock, serialization): the same batch may work at once."""
    return any(sqlstate_of(each).startswith("40") for each in _chain(error))


def is_of_aborted(error: BaseException) -> bool:
    """Whether the database only says that an error before has aborted the transaction."""
    return any(sqlstate_of(each) == _ABORTED for each in _chain(error))


def _fault_of_driver(error: BaseException) -> Fault:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return _BY_SQLITE_CODE.get(code & 0xFF, Fault.WORLD)
    if state := sqlstate_of(error):
        return _BY_STATE.get(state) or _BY_CLASS.get(state[:2], Fault.IN_DOUBT)
    types = {each.__name__ for each in type(error).__mro__}
    return Fault.WORLD if _OF_THE_STATEMENT.isdisjoint(types) else Fault.EVENT


def _is_of_driver(error: BaseException) -> bool:
    """Whether a driver raised it: sqlite3, or psycopg, which need not be installed."""
    return isinstance(error, sqlite3.Error) or any(
        each.__module__ == "psycopg" and each.__name__ == "Error" for each in type(error).__mro__
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from, or while they were handled."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
