"""`curbside run`: run everything on one machine, in the foreground."""

import os
from typing import Annotated

import typer

from deploy.cli.output import console


def run(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every log line of every process, not only warnings and errors.")
    ] = False,
) -> None:
    """Start everything on this machine: Valkey, ingress, workers and Flower. Ctrl-C stops it; no event is lost.

    Data, logs and generated credentials are kept in the data directory (.data). If REDIS_URL or DATABASE_URL is set, that
    server is used instead of the embedded one. A process that ends is started again.

    Example: CURBSIDE_PORT=9000 curbside run
    """
    from deploy.local.runner import run as run_all  # noqa: PLC0415 - quick start
    from deploy.local.terminal import Terminal  # noqa: PLC0415 - quick start

    raise typer.Exit(run_all(os.environ, Terminal(console(), verbose=verbose)))
