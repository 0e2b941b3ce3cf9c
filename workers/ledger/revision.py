"""Reads the revision of the ledger's tables without Alembic, which takes 7 MB in every worker and is needed once a release."""

from sqlalchemy import Connection, column, inspect, select, table

HEAD = "0002"
"""The newest migration in `workers.ledger.migrations.versions`."""

_VERSION = table("alembic_version", column("version_num"))


def revision_of(connection: Connection) -> str | None:
    """The revision; None if there are no tables yet. Raises the errors of SQLAlchemy."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.scalar(select(_VERSION.c.version_num))
