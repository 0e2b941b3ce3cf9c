"""The ledger's engine: connects, migrates on first use, applies batches in transactions, separates outages from bad rows."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from schemas.events import Event
from schemas.settings import Settings
from workers.errors import DependencyUnavailableError
from workers.ledger.file_permissions import restrict_permissions
from workers.ledger.revision import revision_of
from workers.ledger.tables import orders
from workers.ledger.unit_of_work import Alerts, Applied, UnitOfWork

BUSY_TIMEOUT_SECONDS = 15
STATEMENT_TIMEOUT_MS = 15_000
_LIMIT_EXCEEDED = "54"
"""PostgreSQL's error class for exceeded limits, such as a key too long for an index: an OperationalError, but no outage."""

NO_CAPACITY: Mapping[str, int] = {}
_READS_ONLY = "curbside_reads_only"


log = logging.getLogger("curbside.workers")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SupportsApply(Protocol):
    """The part of a handler that the ledger uses."""

    @property
    def apply(self) -> Callable[[UnitOfWork, Sequence[Event]], None]:
        """Write the effects of a batch."""


class Ledger:
    """The SQL database. Safe to share between threads. `now`: the clock by which the age of alerts is told."""

    def __init__(self, settings: Settings, now: Callable[[], datetime] = _utc_now) -> None:
        self._settings, self._now = settings, now
        self.engine = open_engine(settings.database_url)
        restrict_permissions(self.engine, settings.data_dir)
        self._lock, self._is_current = threading.Lock(), False

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction. Raises `DependencyUnavailableError` if the database is unavailable, busy or full."""
        with translate_errors():
            self._migrate_once()
            with self.engine.begin() as connection:
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only transaction: it waits for no writer and migrates nothing. Raises `DependencyUnavailableError`."""
        with translate_errors(), self.engine.execution_options(**{_READS_ONLY: True}).connect() as connection:
            if not inspect(connection).has_table(orders.name):
                raise DependencyUnavailableError(
                    "the ledger, which has no tables yet: a worker makes them, or `curbside migrate`,"
                )
            yield connection

    def apply(self, handler: SupportsApply, events: Sequence[Event], capacity: Mapping[str, int] = NO_CAPACITY) -> Applied:
        """Apply events in one transaction. Up to `capacity` of each channel's alerts are leased to the caller.

        The transaction begins at the handler's first use of the connection: a handler that only calls a service holds no lock.
        """
        with ExitStack() as stack:
            work = UnitOfWork(lambda: stack.enter_context(self.begin()), self._settings, self._now())
            handler.apply(work, events)
            alerts = work.write_outbox(capacity) if work.alerts else Alerts()
        for each in alerts.not_sent:  # committed
            log.warning("alert not sent: %s", each)
        return Applied(alerts, work.failed)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def migrate(self) -> None:
        """Migrate the tables to this release's revision. Raises `DependencyUnavailableError`."""
        with translate_errors():
            self._migrate_once()

    def _migrate_once(self) -> None:
        if not self._is_current:
            with self._lock:
                if not self._is_current:
                    with self.engine.connect() as connection:
                        revision = revision_of(connection)
                    if not revision.is_current:
                        from workers.ledger.migrations import upgrade  # noqa: PLC0415 - 7 MB that a worker seldom needs

                        upgrade(self.engine)
                    self._is_current = True


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate a database error that is an outage into `DependencyUnavailableError`."""
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        if is_outage(error):
            raise DependencyUnavailableError(
                f"the database ({type(getattr(error, 'orig', None) or error).__name__})"
            ) from error
        raise


def is_outage(error: DBAPIError | PoolTimeout) -> bool:
    """Whether a database error concerns the database, not the rows or the statement."""
    if isinstance(error, PoolTimeout) or error.connection_invalidated:
        return True
    if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return False  # a wrong statement; the other operational errors concern the file, the disk or a lock
    if (getattr(error.orig, "sqlstate", None) or "").startswith(_LIMIT_EXCEEDED):
        return False
    return not isinstance(error, DataError | IntegrityError | NotSupportedError | ProgrammingError)


def open_engine(url: str) -> Engine:
    """Create the engine. On SQLite, transactions begin as writers, so no two of them can deadlock."""
    if url.startswith("sqlite"):
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    # Every statement finds its rows by an index, whatever the tables hold. One generic plan is always right, and is built once.
    plans = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off"
    options = f"-c timezone=UTC {plans} -c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={STATEMENT_TIMEOUT_MS}"
    return create_engine(
        url, hide_parameters=True, pool_pre_ping=False, pool_size=8, connect_args={"connect_timeout": 5, "options": options}
    )


def _prepare_sqlite(connection: Any, _: object) -> None:
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
    reads_only = connection.get_execution_options().get(_READS_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
