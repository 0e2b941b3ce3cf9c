"""Runs the commands of the pages on a deployment: `make run` in one terminal, these commands in a second one.

A block is one script: what a line sets the next one finds. What a page writes is replaced so, and by nothing else:

| a page writes                             | what runs                                                                  |
|-------------------------------------------|----------------------------------------------------------------------------|
| `.venv/bin/…`, `curbside`, `celery`       | the programs of the Python that runs the tests                             |
| `.data/…`                                 | the data directory of the deployment                                          |
| `127.0.0.1:8080`, `127.0.0.1:5555`        | the ports on which its ingress and its Flower listen                       |
| `<handler>:<event id>` (`refunds:1732…-0`)| a failure that is on record, dead, made for this block                     |
| an event id (`1732230000000-0`)           | the event of that failure                                                  |

Order ids and bodies are those of `tests/payloads`: they are sent before. A command that asks is answered `y`. Commands that
cannot run so are in `NOT_RUN_HERE`.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.contract.pages.markdown import Block
from tests.contract.pages.names import missing
from tests.support.command_line import REPOSITORY, curbside

PROGRAMS = Path(sys.executable).parent
_EVENT_ID = re.compile(r"\b1[0-9]{12}-[0-9]+\b")
_FAILURE_ID = re.compile(r"\b[a-z][a-z0-9_]*:1[0-9]{12}-[0-9]+\b")
_LIMIT_SECONDS = 60


class NotRunHere(NamedTuple):
    """A command that is not run here: the reason, and the check of it instead."""

    why: str
    check: Callable[[str], None]


def make_target_exists(command: str) -> None:
    """The Makefile has this target, and `make -n` accepts the command."""
    name, *rest = shlex.split(command)
    targets = [word for word in rest if "=" not in word]
    assert name == "make", command
    assert not [each for each in targets if missing(f"make {each}", REPOSITORY)], command
    done = subprocess.run(["make", "-n", *rest], cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def help_names_its_options(command: str) -> None:
    """The program's help names the command's options."""
    words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
    program = Path(words[0]).name
    assert program == "curbside", command
    said = curbside(words[1], "--help", environment={"COLUMNS": "200"})
    assert said.exit_code == 0, said
    options = {word.partition("=")[0] for word in words[2:] if word.startswith("-")}
    assert options <= set(re.findall(r"(?<![\w-])--?\w[\w-]*", said.output)), f"{command}: not in its help"


def shell_parses(command: str) -> None:
    """The shell can read it."""
    done = subprocess.run(["sh", "-n", "-c", command], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stderr


def runs_in_test(test: str, *words: str) -> Callable[[str], None]:
    """A check that a test which runs this or a similar command contains these words."""

    def check(command: str) -> None:
        shell_parses(command)
        text = (REPOSITORY / test).read_text()
        assert not [word for word in words if word not in text], f"{command}: not in {test}"

    return check


def extra_is_declared(command: str) -> None:
    """The extra that `pip` installs is declared."""
    (extra,) = re.findall(r"\[(\w+)\]", command)
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extra in declared, command


_SUITE = "it runs these very tests"
_FOREGROUND = "it stays in the foreground"
_COPIED = "it checks the file that the reader has edited in /etc; tests start the file in deploy/proxies"
_PROXIES = "tests/e2e/proxy_programs.py"
_TOYSHOP = "it needs the module that the reader has written; another test follows the recipe"
_RECIPE = "tests/contract/test_new_provider.py"
_INSTALLS = "it changes what is installed"
_MINUTES = "it takes minutes"

NOT_RUN_HERE: Mapping[str, NotRunHere] = {
    "make run": NotRunHere(_FOREGROUND, make_target_exists),
    "make setup": NotRunHere("it makes the .venv that runs this test", make_target_exists),
    'make test ARGS="tests/unit"': NotRunHere(_SUITE, make_target_exists),
    'make test ARGS="tests/unit tests/contract/test_refunds.py"': NotRunHere(_SUITE, make_target_exists),
    'make test JOBS=0 ARGS="-k refund -x"': NotRunHere(_SUITE, make_target_exists),
    "curbside ingress --host 0.0.0.0 --port 8080": NotRunHere(_FOREGROUND, help_names_its_options),
    "curbside worker --role urgent -n urgent1@%h": NotRunHere(_FOREGROUND, help_names_its_options),
    "curbside worker --role bulk -n bulk1@%h": NotRunHere(_FOREGROUND, help_names_its_options),
    "celery -A workers.app flower --conf=deploy/flower/config.py": NotRunHere(
        _FOREGROUND, runs_in_test("tests/e2e/flower_client.py", '"celery", "-A", "workers.app", "flower"', "--conf=")
    ),
    "curbside ingress": NotRunHere(_FOREGROUND, help_names_its_options),
    "curbside worker": NotRunHere(_FOREGROUND, help_names_its_options),
    "curbside send --provider toyshop notice.json": NotRunHere(
        _TOYSHOP, runs_in_test(_RECIPE, '"send", "--provider", "toyshop"')
    ),
    "curbside order toy-7": NotRunHere(_TOYSHOP, runs_in_test(_RECIPE, '"order", "toy-7"')),
    "curbside simulate --orders 1000 --rate 100 --duplicates 0.05 --reordering 0.05 --bad-bodies 0.01 --verify": NotRunHere(
        _MINUTES, help_names_its_options
    ),
    "nginx -t": NotRunHere(_COPIED, runs_in_test(_PROXIES, "nginx.conf", '"-t"')),
    "haproxy -c -f /etc/haproxy/haproxy.cfg": NotRunHere(_COPIED, runs_in_test(_PROXIES, "haproxy.cfg", '"-c"')),
    "caddy validate --config /etc/caddy/Caddyfile": NotRunHere(_COPIED, runs_in_test(_PROXIES, "Caddyfile", '"validate"')),
    'pip install ".[postgres]"': NotRunHere(_INSTALLS, extra_is_declared),
    "make lint": NotRunHere(_MINUTES, make_target_exists),
    "make fuzz": NotRunHere(_MINUTES, make_target_exists),
    'make fuzz ARGS="--engine loop --bodies 2000000"': NotRunHere(_MINUTES, make_target_exists),
    'make strangers ARGS="broken --requests 1000000 --seed 1"': NotRunHere(_MINUTES, make_target_exists),
    'make strangers ARGS="idle --connections 10000"': NotRunHere(_MINUTES, make_target_exists),
    'make chaos ARGS="--seconds 60 --seed 7 --faults 20 --rate 300"': NotRunHere(_MINUTES, make_target_exists),
    'make chaos ARGS="--kinds valkey-,postgresql-killed --server redis"': NotRunHere(_MINUTES, make_target_exists),
    'make chaos ARGS="--list-kinds"': NotRunHere(_MINUTES, make_target_exists),
    "make bench": NotRunHere(_MINUTES, make_target_exists),
    'make bench ARGS="--only ack,latency --runs 3"': NotRunHere(_MINUTES, make_target_exists),
    ".ci/run": NotRunHere("it runs all tests, and installs packages as root", runs_in_test(".ci/run")),
}


@contextmanager
def terminal_answering_yes() -> Iterator[int]:
    """A terminal as a command's input, with `y` typed for every question."""
    hand, terminal = os.openpty()
    try:
        os.write(hand, b"y\n" * 10)
        yield terminal
    finally:
        os.close(hand)
        os.close(terminal)


class CommandRunner:
    """Runs commands in a second terminal, with the environment variables of `make run`."""

    def __init__(self, environment: Mapping[str, str], make_failure: Callable[[], str]) -> None:
        self._environment, self._make_failure = dict(environment), make_failure

    def run(self, block: Block) -> "subprocess.CompletedProcess[str] | None":
        """Run a block's commands except those in `NOT_RUN_HERE`; None if none is left."""
        commands = [command for command in block.commands if command not in NOT_RUN_HERE]
        if not commands:
            return None
        with terminal_answering_yes() as terminal:
            return subprocess.run(
                ["sh", "-eux", "-c", self._replaced("\n".join(commands))],
                cwd=REPOSITORY,
                env=self._environment | {"PATH": f"{PROGRAMS}:{self._environment['PATH']}"},
                stdin=terminal,
                capture_output=True,
                text=True,
                timeout=_LIMIT_SECONDS,
                check=False,
            )

    def _replaced(self, script: str) -> str:
        its = self._environment
        if _EVENT_ID.search(script):
            failure = self._make_failure()
            script = _EVENT_ID.sub(failure.partition(":")[2], _FAILURE_ID.sub(failure, script))
        for written, real in (
            (".venv/bin/", f"{PROGRAMS}/"),
            (".data/", f"{its['CURBSIDE_DATA_DIR']}/"),
            ("127.0.0.1:8080", f"127.0.0.1:{its['CURBSIDE_PORT']}"),
            ("127.0.0.1:5555", f"127.0.0.1:{its['CURBSIDE_FLOWER_PORT']}"),
        ):
            script = script.replace(written, real)
        return script
