"""Runs `curbside` as a person does: a process of its own, with no other variables than those given."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
CURBSIDE = (sys.executable, "-c", "from deploy.cli import main; main()")
_LIMIT_SECONDS = 60


class Said(NamedTuple):
    """What a command left."""

    exit_code: int
    output: str
    errors: str


def only(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that finds our code, and has nothing else but this."""
    return {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(REPOSITORY), "HOME": os.devnull, **environment}


def curbside(*arguments: str, environment: Mapping[str, str], cwd: Path = REPOSITORY, given: str = "") -> Said:
    """Run a command to its end; `given` is its standard input."""
    done = subprocess.run(
        [*CURBSIDE, *arguments],
        env=only(environment),
        cwd=cwd,
        input=given,
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)
