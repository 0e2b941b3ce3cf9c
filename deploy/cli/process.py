"""`curbside ingress` and `curbside worker`: run one process of a deployment."""

import os
import sys

import typer

from deploy.generated import with_generated


def ingress(context: typer.Context) -> None:
    """Run one ingress process. `curbside ingress --help` lists its options."""
    _exec("ingress", context)


def worker(context: typer.Context) -> None:
    """Run one worker process. `curbside worker --help` lists its roles and options."""
    _exec("workers", context)


def _exec(module: str, context: typer.Context) -> None:
    """Replace this process by the module's. That frees the command line's memory."""
    command = [sys.executable, "-m", module, *context.args]
    os.execve(sys.executable, command, with_generated(os.environ))  # noqa: S606 - our own interpreter
