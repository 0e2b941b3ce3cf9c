"""The ledger: migrates on first use, applies batches in transactions, and says whose fault a failed transaction is.

`workers.ledger.faults` has the rule. An error that a handler catches counts as well, if it made the transaction worthless.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import Connection, Engine, event, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from schemas.events import Event
from schemas.settings import Settings
from workers.errors import DependencyUnavailableError, HeldUpError, StatementRefusedError
from workers.ledger.connection_options import ERRORS, QUICK, READS_ONLY, STATEMENTS
from workers.ledger.engine import is_lost, open_engine
from workers.ledger.faults import Fault, fault_of, is_of_aborted, label_of
from workers.ledger.file_permissions import restrict_permissions
from workers.ledger.revision import revision_of
from workers.ledger.tables import metadata, orders
from workers.ledger.unit_of_work import Alerts, Applied, UnitOfWork

__all__ = ["Ledger", "SupportsApply", "open_engine"]

NO_CAPACITY: Mapping[str, int] = {}

log = logging.getLogger("curbside.workers")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SupportsApply(Protocol):
    """The part of a handler that the ledger uses."""

    @property
    def apply(self) -> Callable[[UnitOfWork, Sequence[Event]], None]:
        """Write the effects of a batch."""


class Ledger:
    """The SQL database. Safe to share between threads.

    `now`: the clock by which the age of alerts is told. `stopping`: set when the process must stop.
    """

    def __init__(
        self, settings: Settings, now: Callable[[], datetime] = _utc_now, stopping: threading.Event | None = None
    ) -> None:
        self._settings, self._now = settings, now
        self.engine = open_engine(settings.database_url, stopping)
        self._quick = self.engine.execution_options(**{QUICK: True})
        event.listen(self._quick, "after_cursor_execute", _note_statement)
        restrict_permissions(self.engine, settings.data_dir)
        self._lock, self._is_current = threading.Lock(), False

    @contextmanager
    def begin(self, worked: set[str] | None = None) -> Iterator[Connection]:
        """A transaction. `worked`: gets the text of each statement that works; the transaction then waits for a lock only briefly.

        Raises `DependencyUnavailableError` if the database is unavailable, busy or full.
        """
        with self._translated():
            self._migrate_once()
            with _connected(self.engine if worked is None else self._quick) as connection, connection.begin():
                errors: list[BaseException] = []
                connection.execution_options(**{ERRORS: errors, STATEMENTS: worked})
                try:
                    yield connection
                except Exception as error:
                    _raise_first(errors, connection, error)
                    raise
                _raise_first(errors, connection, None)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only transaction: it waits for no writer and migrates nothing. Raises `DependencyUnavailableError`."""
        with self._translated(), _connected(self.engine.execution_options(**{READS_ONLY: True})) as connection:
            if not inspect(connection).has_table(orders.name):
                raise DependencyUnavailableError(
                    "the ledger, which has no tables yet: a worker makes them, or `curbside migrate`,"
                )
            yield connection

    def apply(
        self,
        handler: SupportsApply,
        events: Sequence[Event],
        capacity: Mapping[str, int] = NO_CAPACITY,
        worked: set[str] | None = None,
    ) -> Applied:
        """Apply events in one transaction. Up to `capacity` of each channel's alerts are leased to the caller.

        The transaction begins at the handler's first use of the connection: a handler that only calls a service holds no lock.
        An error that is in doubt (`workers.ledger.faults`) is raised as it is. `worked`: see `begin`; added to after the commit.
        """
        doubt: BaseException | None = None
        statements: set[str] | None = None if worked is None else set()
        try:
            with ExitStack() as stack:
                work = UnitOfWork(lambda: stack.enter_context(self.begin(statements)), self._settings, self._now())
                handler.apply(work, events)
                alerts = work.write_outbox(capacity) if work.alerts else Alerts()
        except StatementRefusedError as error:
            doubt = error.__cause__ or error
        if doubt is not None:
            raise doubt
        if worked is not None:
            worked |= statements or set()
        for each in alerts.not_sent:  # committed
            log.warning("alert not sent: %s", each)
        return Applied(alerts, work.failed)

    def has_locked_table(self) -> bool:
        """Whether another transaction keeps everybody from writing to one of the ledger's tables, as a migration does."""
        if self.engine.dialect.name != "postgresql":
            return False
        try:
            with self.begin(set()) as connection:
                connection.exec_driver_sql(f"LOCK TABLE {', '.join(metadata.tables)} IN ROW EXCLUSIVE MODE NOWAIT")
        except DependencyUnavailableError:
            return True
        return False

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def migrate(self) -> None:
        """Migrate the tables to this release's revision. Raises `DependencyUnavailableError`."""
        with self._translated():
            self._migrate_once()

    def check(self) -> None:
        """Connect once, and write nothing. Raises `UnsuitableDatabaseError`, or another `DependencyUnavailableError`."""
        with self._translated(), _connected(self.engine):
            pass

    def _migrate_once(self) -> None:
        if not self._is_current:
            with self._lock:
                if not self._is_current:
                    with _connected(self.engine) as connection:
                        revision = revision_of(connection)
                    if not revision.is_current:
                        from workers.ledger.migrations import upgrade  # noqa: PLC0415 - 7 MB that a worker seldom needs

                        with _of_migration():
                            upgrade(self.engine)
                    self._is_current = True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate an error that is not an event's fault into a `DependencyUnavailableError`."""
        try:
            yield
        except DependencyUnavailableError:
            raise
        except Exception as error:
            fault, label = fault_of(error), label_of(error)
            if fault is Fault.WORLD:
                raise DependencyUnavailableError(f"the database ({label})") from error
            if fault is Fault.HELD_UP:
                raise HeldUpError(f"the database, where another transaction holds it up ({label}),") from error
            if fault is Fault.IN_DOUBT:
                self._is_current = False  # the tables may be gone: restored from an older copy, say
                raise refused(error) from error
            raise


def refused(error: BaseException) -> StatementRefusedError:
    """The error of an outage in which the database refuses a statement for whatever event."""
    return StatementRefusedError(f"the database, which refuses a statement ({label_of(error)}),")


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    """A connection. Whatever prevents it is no event's fault: a right to connect, a parameter of the address."""
    try:
        connection = engine.connect()
    except (DBAPIError, PoolTimeout) as error:
        raise DependencyUnavailableError(f"the database ({label_of(error)})") from error
    with connection:
        yield connection


@contextmanager
def _of_migration() -> Iterator[None]:
    """A migration runs in an event's transaction's stead, and is no event's fault."""
    try:
        yield
    except DBAPIError as error:
        if fault_of(error) is Fault.WORLD:
            raise
        raise DependencyUnavailableError(f"the ledger, whose tables cannot be migrated ({label_of(error)}),") from error


def _note_statement(connection: Connection, _: object, statement: str, *__: object) -> None:
    seen: set[str] | None = connection.get_execution_options().get(STATEMENTS)
    if seen is not None:
        seen.add(statement)


def _raise_first(errors: Sequence[BaseException], connection: Connection, raised: Exception | None) -> None:
    """Raise the transaction's first error if it made the transaction worthless, whatever the handler made of it.

    `raised`: what the handler raised. If the first error is an event's fault, the handler's own error says more, unless it is none,
    or says only that the transaction is worthless.
    """
    if errors and is_lost(connection):
        says_no_more = raised is None or is_of_aborted(raised)
        if says_no_more or fault_of(errors[0]) is not Fault.EVENT:
            raise errors[0]
