"""Alembic's entry: runs the migrations on the connection of `upgrade`, inside its transaction."""

from alembic import context

from workers.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
