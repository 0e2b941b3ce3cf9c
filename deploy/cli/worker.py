"""`curbside worker`: one worker process."""

import os
import sys

import typer

from deploy.generated import path_in, read_generated


def worker(context: typer.Context) -> None:
    """Run one worker process, of all lanes or of some. `curbside worker --help` says which."""
    environment = {**read_generated(path_in(os.environ)), **{name: value for name, value in os.environ.items() if value}}
    command = [sys.executable, "-m", "workers", *context.args]
    os.execve(command[0], command, environment)  # noqa: S606 - in our place: a worker has no use for the memory of a command line
