"""`curbside migrate`: create or upgrade the ledger's tables."""

import os

import typer

from deploy.errors import CommandError
from deploy.generated import load_settings


def migrate() -> None:
    """Create or upgrade the ledger's tables at DATABASE_URL. Workers do the same when they start. It is safe at any time.

    It reads all settings, as every process does: run it in a worker's environment, with another DATABASE_URL if need be.
    """
    from workers.errors import DependencyUnavailableError, UnsuitableDatabaseError  # noqa: PLC0415 - quick start
    from workers.ledger.ledger import Ledger  # noqa: PLC0415 - quick start

    ledger = Ledger(load_settings(os.environ))
    try:
        ledger.migrate()
    except UnsuitableDatabaseError as error:
        raise CommandError(f"DATABASE_URL: {error} cannot be the ledger.") from error
    except DependencyUnavailableError as error:
        raise CommandError(f"{error} is unreachable (DATABASE_URL).") from error
    finally:
        ledger.close()
    typer.echo("The ledger is up to date.")
