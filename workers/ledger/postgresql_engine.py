"""The engine on PostgreSQL, directly or through a pooler (pgbouncer with transaction pooling), over a network that may go silent.

- Nothing is set when connecting, which poolers refuse. A server is told the settings once after that. A pooler is told them at the
  beginning of each transaction, in one round trip.
- Statements are prepared unless a pooler answers. It is one if the server that answers has another process id than the one that
  the connection was told of: then each transaction may meet another server, which knows nothing of what was prepared before.
- A connection that met an error of the world (`workers.ledger.faults`) is closed, and so are all that were opened before it.
- No answer within `ANSWER_SECONDS`, or within `STOPPING_SECONDS` while the worker stops, is an error of the connection.
"""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url

from workers.errors import UnsuitableDatabaseError
from workers.ledger.connection_options import ERRORS, QUICK
from workers.ledger.faults import Fault, fault_of, sqlstate_of

STATEMENT_TIMEOUT_MS = 15_000
LOCK_TIMEOUT_MS = 2_000
"""Longer than a batch of another handler holds its locks."""
QUICK_LOCK_TIMEOUT_MS, QUICK_STATEMENT_TIMEOUT_MS = 250, 3_000
"""While a batch is sifted: it is known then that a lock is held for long."""
ANSWER_SECONDS = 20.0
"""The server cancels a statement before, so silence is the network's."""
STOPPING_SECONDS = 3.0
LONGEST_SECONDS = 24 * 3600.0
MIGRATION_LOCK_TIMEOUT_MS = 15_000
CONNECT_SECONDS = 5

_PARAMETERS: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""Parameters of connections that DATABASE_URL may set otherwise."""
# Every statement finds its rows by an index, whatever the tables hold. One generic plan is always right, and is built once.
_SETTINGS = "timezone = 'UTC'", "plan_cache_mode = force_generic_plan", "enable_seqscan = off"
_ENCODING = "UTF8"
_PLAN_IS_OLD = "0A000"
"""A prepared statement of a table that has changed since: a new connection prepares it anew."""


_USUAL = f"statement_timeout = {STATEMENT_TIMEOUT_MS}", f"lock_timeout = {LOCK_TIMEOUT_MS}"
_QUICK = f"statement_timeout = {QUICK_STATEMENT_TIMEOUT_MS}", f"lock_timeout = {QUICK_LOCK_TIMEOUT_MS}"


def _texts(command: str, *settings: str) -> str:
    return "; ".join(f"{command} {each}" for each in settings)


_IN_SESSION = _texts("SET", *_SETTINGS, *_USUAL)
_IN_QUICK_TRANSACTION = _texts("SET LOCAL", *_QUICK)
_BEGIN_POOLED = f"BEGIN; {_texts('SET LOCAL', *_SETTINGS, *_USUAL)}"
_BEGIN_POOLED_QUICK = f"BEGIN; {_texts('SET LOCAL', *_SETTINGS, *_QUICK)}"


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection that waits for an answer no longer than the deadline, then closes itself."""

    stopping: threading.Event | None = None
    answer_seconds: float = ANSWER_SECONDS
    is_pooled = False

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Wait for the driver's generator to end. Raises `psycopg.OperationalError` at the deadline."""
        return super().wait(self._until_deadline(gen), *args, **options)

    def _until_deadline(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The generator. The driver resumes it at least ten times a second, with or without an answer."""
        began = monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and monotonic() - began > self._limit():
                    self.close()
                    raise psycopg.OperationalError("the database did not answer in time")
                wanted = gen.send(ready)
        except StopIteration as ended:
            return ended.value

    def _limit(self) -> float:
        is_stopping = self.stopping is not None and self.stopping.is_set()
        return min(STOPPING_SECONDS, self.answer_seconds) if is_stopping else self.answer_seconds


def open_postgresql(url: str, stopping: threading.Event | None) -> Engine:
    """Create the engine. `stopping`: set when the worker must stop."""
    given = make_url(url).query
    parameters = {name: value for name, value in _PARAMETERS.items() if name not in given}
    several_hosts = "," in str(given.get("host", "")) or isinstance(given.get("host"), tuple)
    if several_hosts and "target_session_attrs" not in given:
        parameters["target_session_attrs"] = "read-write"
    fixed = {"client_encoding": _ENCODING, "autocommit": True}
    engine = create_engine(url, hide_parameters=True, pool_size=8, connect_args=parameters | fixed)

    def connect(_: Any, __: Any, args: Any, options: Any) -> psycopg.Connection[Any]:
        if stopping is not None and stopping.is_set():  # what is not applied now is left to other workers
            raise psycopg.OperationalError("the worker stops")
        connection = DeadlineConnection.connect(*args, **options)
        connection.stopping = stopping
        return connection

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _on_error)
    return engine


@contextmanager
def unhurried(connection: Connection) -> Iterator[None]:
    """Let this transaction's statements take as long as they need, and wait for a lock as long as `MIGRATION_LOCK_TIMEOUT_MS`."""
    driver: Any = connection.connection.driver_connection
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {MIGRATION_LOCK_TIMEOUT_MS}")
    usual, driver.answer_seconds = driver.answer_seconds, LONGEST_SECONDS
    try:
        yield
    finally:
        driver.answer_seconds = usual


def is_aborted(connection: Connection) -> bool:
    """Whether an error has aborted the connection's transaction: committing it would write nothing, and say nothing."""
    driver: Any = connection.connection.driver_connection
    return bool(driver.info.transaction_status == psycopg.pq.TransactionStatus.INERROR)


def _prepare(connection: DeadlineConnection, _: object) -> None:
    """Look at who answers. Raises `UnsuitableDatabaseError`."""
    try:
        row = connection.execute("SELECT pg_backend_pid(), current_setting('server_encoding')", prepare=False).fetchone()
        process, encoding = row or (0, _ENCODING)
        if encoding != _ENCODING:
            raise UnsuitableDatabaseError(
                f"the database, whose encoding is {encoding} and cannot hold every text (create it with ENCODING 'UTF8'),"
            )
        if process != connection.info.backend_pid:  # transactions are begun by `_begin`
            connection.is_pooled, connection.prepare_threshold = True, None
        else:
            connection.execute(_IN_SESSION, prepare=False)
            connection.autocommit = False
    except BaseException:
        connection.close()
        raise


def _begin(connection: Connection) -> None:
    quick, driver = connection.get_execution_options().get(QUICK, False), connection.connection.driver_connection
    if driver is not None and driver.is_pooled:
        connection.exec_driver_sql(_BEGIN_POOLED_QUICK if quick else _BEGIN_POOLED)
    elif quick:
        connection.exec_driver_sql(_IN_QUICK_TRANSACTION)


def _on_error(context: ExceptionContext) -> None:
    error = context.sqlalchemy_exception or context.original_exception
    if context.connection is None:
        return
    errors: list[BaseException] | None = context.connection.get_execution_options().get(ERRORS)
    if errors is not None:
        errors.append(error)
    if fault_of(context.original_exception) is Fault.WORLD or sqlstate_of(context.original_exception) == _PLAN_IS_OLD:
        context.is_disconnect = True
