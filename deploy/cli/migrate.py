"""`curbside migrate`: create or upgrade the ledger's tables."""

import os

import typer

from deploy.generated import load_settings


def migrate() -> None:
    """Create or upgrade the ledger's tables at DATABASE_URL. Workers do the same when they start. It is safe at any time.

    It reads all settings, as every process does: run it in a worker's environment, with another DATABASE_URL if need be.
    """
    from workers.ledger.ledger import Ledger  # noqa: PLC0415 - quick start

    Ledger(load_settings(os.environ)).migrate()
    typer.echo("The ledger is up to date.")
