"""`curbside migrate`: the ledger's tables, brought up to this release."""

import os

import typer

from deploy.generated import load_settings


def migrate() -> None:
    """Create or upgrade the ledger's tables at DATABASE_URL. Workers do it too when they start; safe at any time.

    Example: DATABASE_URL=postgresql://curbside@db/curbside curbside migrate
    """
    from workers.ledger.migrations import migrate as migrate_ledger  # noqa: PLC0415 - quick start

    migrate_ledger(load_settings(os.environ))
    typer.echo("The ledger is up to date.")
