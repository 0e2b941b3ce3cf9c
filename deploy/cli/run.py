"""`curbside run`: everything on one machine, in the foreground."""

import os
from typing import Annotated

import typer

from deploy.cli.output import console


def run(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every line of every part, not only warnings.")] = False,
) -> None:
    """Start everything on this machine: Valkey, ingress, workers and Flower. Ctrl-C stops it; nothing is lost.

    Data, logs and the credentials it makes up are kept in the data folder (.data). With REDIS_URL or DATABASE_URL set,
    that server is used and the embedded one is not started. Parts that die are started again.

    Example: CURBSIDE_PORT=9000 curbside run
    """
    from deploy.local.runner import run as run_all  # noqa: PLC0415 - quick start
    from deploy.local.terminal import Screen  # noqa: PLC0415 - quick start

    raise typer.Exit(run_all(os.environ, Screen(console(), verbose=verbose)))
