"""Reads the revision of the ledger's tables without Alembic, which takes 7 MB in every worker and is needed once a release.

Two tables hold a revision. `ledger_version`: the newest migration that has run. `alembic_version`: the oldest revision whose release
can still write to these tables. A release refuses to write if it does not know that one. So workers of an older release go on
beside newer ones, and after a way back, until a migration changes what they rely on and raises it.
"""

from typing import NamedTuple

from sqlalchemy import Connection, column, inspect, select, table

HEAD = "0003"
"""The newest migration in `workers.ledger.migrations.versions`. Revisions sort as text."""
OLDEST = "0001"
"""The oldest revision whose release can write to tables of revision `HEAD`: 0002 and 0003 only add."""
APPLIED_IN, OLDEST_IN = "ledger_version", "alembic_version"
_APPLIED, _OLDEST = (table(name, column("version_num")) for name in (APPLIED_IN, OLDEST_IN))


class Revision(NamedTuple):
    """The newest migration that has run (None: there are no tables yet), and the oldest revision that may write."""

    applied: str | None
    oldest: str | None

    @property
    def is_current(self) -> bool:
        """Whether this release can write to the tables as they are."""
        return self.applied is not None and self.applied >= HEAD and not self.is_too_new

    @property
    def is_too_new(self) -> bool:
        """Whether a newer release has changed what this one relies on."""
        return self.oldest is not None and self.oldest > HEAD


def revision_of(connection: Connection) -> Revision:
    """The revision. Release 0.1 knew `alembic_version` only. Raises the errors of SQLAlchemy."""
    names = inspect(connection)
    if not names.has_table(_OLDEST.name):
        return Revision(None, None)
    oldest = connection.scalar(select(_OLDEST.c.version_num))
    return Revision(connection.scalar(select(_APPLIED.c.version_num)) if names.has_table(APPLIED_IN) else oldest, oldest)
