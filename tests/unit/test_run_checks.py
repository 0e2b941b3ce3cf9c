"""A fault that stops `curbside run` is one sentence that names what to change, with exit code 2."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import locks
from deploy.local.data_dir import open_data_dir
from tests.support.command_line import curbside
from tests.support.settings import LOOPBACK, free_port

PORTS = ("CURBSIDE_PORT", "CURBSIDE_FLOWER_PORT", "CURBSIDE_VALKEY_PORT")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"CURBSIDE_DATA_DIR": str(tmp_path / "data"), **{name: str(free_port()) for name in PORTS}}


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        yield listener.getsockname()[1]


def sentence(environment: dict[str, str]) -> str:
    """The one line that a run which must not start says."""
    said = curbside("run", environment=environment)
    assert said.exit_code == 2, said
    assert said.output == ""
    assert said.errors.count("\n") == 1, said.errors
    return said.errors


@pytest.mark.parametrize("variable", PORTS)
def test_a_taken_port(variable: str, environment: dict[str, str], taken_port: int) -> None:
    said = sentence({**environment, variable: str(taken_port)})
    assert said == f"Port {taken_port} on 127.0.0.1 is taken: set {variable} to a free one, or stop what listens there.\n"


def test_one_port_for_two_services(environment: dict[str, str]) -> None:
    said = sentence({**environment, "CURBSIDE_FLOWER_PORT": environment["CURBSIDE_PORT"]})
    assert said.startswith("CURBSIDE_PORT and CURBSIDE_FLOWER_PORT are both ")


def test_an_address_of_another_machine(environment: dict[str, str]) -> None:
    said = sentence({**environment, "CURBSIDE_HOST": "192.0.2.1"})
    assert said == "CURBSIDE_HOST is wrong: '192.0.2.1' is not an address of this machine.\n"


def test_a_folder_that_cannot_be_made(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "data"
    said = sentence({**environment, "CURBSIDE_DATA_DIR": str(folder)})
    assert said == f"CURBSIDE_DATA_DIR: cannot write in {folder}: Not a directory.\n"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs a folder that even root cannot write in")
def test_a_folder_that_cannot_be_written(environment: dict[str, str]) -> None:
    said = sentence({**environment, "CURBSIDE_DATA_DIR": "/proc/self/fd"})
    assert said.startswith("CURBSIDE_DATA_DIR: cannot write in /proc/self/fd: ")


def test_a_wrong_value(environment: dict[str, str]) -> None:
    said = sentence({**environment, "DEDUPE_WINDOW": "long"})
    assert said == "DEDUPE_WINDOW is wrong: expected a duration such as 30s, 15m, 72h or 7d, got 'long'\n"


def test_a_second_run_on_the_same_folder(environment: dict[str, str]) -> None:
    folder = open_data_dir(Path(environment["CURBSIDE_DATA_DIR"]))
    first = locks.acquire(folder.lock("curbside"))
    assert first is not None
    said = sentence(environment)
    os.close(first)
    assert said.startswith(f"Another `curbside run` (pid {os.getpid()}) already uses {folder.root}: ")


def test_created_files_are_readable_by_their_owner_only(environment: dict[str, str]) -> None:
    sentence({**environment, "DEDUPE_WINDOW": "long"})
    folder = Path(environment["CURBSIDE_DATA_DIR"])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "credentials.env").stat().st_mode & 0o777 == 0o600
