"""Runs `curbside` with only the environment variables given, in a process or in this one."""

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.cli import main

REPOSITORY = Path(__file__).parents[2]
CURBSIDE = (sys.executable, "-c", "from deploy.cli import main; main()")
_LIMIT_SECONDS = 60


class CommandResult(NamedTuple):
    """A finished command."""

    exit_code: int
    output: str
    errors: str


def only(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with these variables and what a process needs to find our code."""
    return {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(REPOSITORY), "HOME": os.devnull, **environment}


def curbside(*arguments: str, environment: Mapping[str, str], cwd: Path = REPOSITORY, given: str = "") -> CommandResult:
    """Run a command in a process of its own. `given` is its standard input."""
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
    return CommandResult(done.returncode, done.stdout, done.stderr)


def in_process(*arguments: str, environment: Mapping[str, str], given: str = "") -> CommandResult:
    """Run a command in this process, which is faster. Its input and outputs are no terminal."""
    output, errors, typed = (io.TextIOWrapper(io.BytesIO(text), "utf-8") for text in (b"", b"", given.encode()))
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        for name in os.environ.keys() - only(environment).keys():
            patch.delenv(name)
        for name, value in only(environment).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["curbside", *arguments])
        patch.setattr(sys, "stdin", typed)
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    written = []
    for each in (output, errors):
        each.flush()
        written.append(each.buffer.getvalue().decode())
    return CommandResult(int(str(code or 0)), *written)
