"""The ledger's migrations. Alembic runs them when a worker first opens the ledger, or for `curbside migrate`.

Any number of workers may start at once: the first to get the lock migrates, and the others then find nothing to do.
"""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, column, delete, insert, table, text

from workers.errors import DependencyUnavailableError
from workers.ledger.revision import APPLIED_IN, HEAD, OLDEST, OLDEST_IN, revision_of

_LOCK = 0x63757262  # "curb"


def upgrade(engine: Engine) -> str | None:
    """Migrate the tables to the newest revision. Returns the revision before (None: there were no tables).

    Raises `DependencyUnavailableError` if a newer release has migrated the ledger so that only its workers can write to it.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with engine.begin() as connection:
        before = revision_of(connection)
        if before.is_too_new:
            raise DependencyUnavailableError(f"the ledger, which a newer release has migrated (to {before.applied}),")
        if before.is_current:
            return before.applied
        with _unhurried(connection):
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            _begin_record(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)
            _record(connection, OLDEST_IN, OLDEST)
    return before.applied


def _unhurried(connection: Connection) -> AbstractContextManager[None]:
    """Let the statements take as long as they need: rewriting a large table takes long."""
    if connection.dialect.name != "postgresql":
        return nullcontext()
    from workers.ledger.postgresql_engine import unhurried  # noqa: PLC0415 - its driver need not be installed

    return unhurried(connection)


def _begin_record(connection: Connection) -> None:
    """Make the tables that hold revisions. `ledger_version` of a ledger of release 0.1 begins with what 0.1 had recorded."""
    before = revision_of(connection)  # another worker may have migrated while this one waited for the lock
    for name in (OLDEST_IN, APPLIED_IN):
        connection.execute(text(f"CREATE TABLE IF NOT EXISTS {name} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    if before.applied is not None:
        _record(connection, APPLIED_IN, before.applied)


def _record(connection: Connection, name: str, revision: str) -> None:
    its = table(name, column("version_num"))
    connection.execute(delete(its))
    connection.execute(insert(its), {"version_num": revision})
