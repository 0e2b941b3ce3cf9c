"""Alembic's entry: runs the migrations on the connection of `upgrade`, inside its transaction."""

from alembic import context

from workers.ledger.revision import APPLIED_IN
from workers.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    version_table=APPLIED_IN,
)
context.run_migrations()
