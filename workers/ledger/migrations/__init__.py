"""The ledger's migrations. Alembic runs them when a worker first opens the ledger, or for `curbside migrate`.

Any number of workers may start at once: the first to get the lock migrates, and the others then find nothing to do.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from workers.errors import DependencyUnavailableError
from workers.ledger.revision import revision_of

_LOCK = 0x63757262  # "curb"


def upgrade(engine: Engine) -> str | None:
    """Migrate the tables to the newest revision. Returns the revision before (None: there were no tables).

    Raises `DependencyUnavailableError` if a newer release has migrated the ledger: only its workers can write to it.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    with engine.begin() as connection:
        before = revision_of(connection)
        if before == script.get_current_head():
            return before
        if before is not None and before not in {known.revision for known in script.walk_revisions()}:
            raise DependencyUnavailableError(f"the ledger, which a newer release has migrated (to {before}),")
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # rewriting a large table takes long
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before
