"""The ledger's schema and its history, run by Alembic when a worker first opens the ledger, or by `curbside migrate`.

Any number of workers may start at once: the first to get the lock migrates, the others find it done.
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
    """Bring the schema to the newest revision. Returns the revision it had before (None: it was new).

    Raises `DependencyUnavailableError` if a newer release was here: its workers know how to write, this one does not.
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
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # to rewrite a large table takes its time
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before
