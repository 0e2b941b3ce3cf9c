"""`curbside ingress` and `curbside worker`: one process of a deployment."""

import os
import sys

import typer

from deploy.generated import with_generated


def ingress(context: typer.Context) -> None:
    """Run one ingress. `curbside ingress --help` says on which address."""
    _become("ingress", context)


def worker(context: typer.Context) -> None:
    """Run one worker process, of all lanes or of some. `curbside worker --help` says which."""
    _become("workers", context)


def _become(module: str, context: typer.Context) -> None:
    """Run it in our place: it has no use for the memory of a command line."""
    command = [sys.executable, "-m", module, *context.args]
    os.execve(sys.executable, command, with_generated(os.environ))  # noqa: S606 - our own interpreter
