"""Our files in the data directory are readable by their owner alone, whatever the umask; other files are not touched."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.errors import CommandError
from deploy.local.data_dir import open_data_dir
from deploy.local.private import reject_shared_directory, restrict_permissions
from tests.support.command_line import curbside
from tests.support.settings import environment_for_tests, make_settings
from workers.ledger.ledger import Ledger


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def modes(folder: Path) -> dict[str, int]:
    return {path.name: mode(path) for path in folder.iterdir()}


def use_ledger(database: Path, data_folder: Path) -> dict[str, int]:
    """Migrate a ledger and keep it open; the rights to its files then."""
    ledger = Ledger(make_settings(DATABASE_URL=f"sqlite:///{database}", CURBSIDE_DATA_DIR=str(data_folder)))
    try:
        with ledger.begin():
            return {name: its for name, its in modes(database.parent).items() if name.startswith(database.name)}
    finally:
        ledger.close()


LEDGER = {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}


@pytest.mark.parametrize("mask", [0o000, 0o022])
@pytest.mark.parametrize("data_folder", ["data", "elsewhere"])
def test_a_new_ledger_is_its_owners_alone(tmp_path: Path, mask: int, data_folder: str) -> None:
    (tmp_path / "data").mkdir()
    with umask(mask):
        assert use_ledger(tmp_path / "data" / "ledger.db", tmp_path / data_folder) == LEDGER


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_a_ledger_that_was_there_is_tightened_in_the_data_folder_and_left_alone_elsewhere(
    tmp_path: Path, mask: int, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("data", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ledger.db").touch()
        (tmp_path / name / "ledger.db").chmod(0o644)
    with umask(mask), caplog.at_level(logging.WARNING, "curbside.ledger"):
        assert use_ledger(tmp_path / "elsewhere" / "ledger.db", tmp_path / "data")["ledger.db"] == 0o644
        assert not caplog.records
        assert use_ledger(tmp_path / "data" / "ledger.db", tmp_path / "data") == LEDGER
    assert [record.getMessage() for record in caplog.records] == [
        f"other users could read or write {tmp_path / 'data' / 'ledger.db'}: now only its owner can"
    ]


@pytest.mark.parametrize("mask", ["000", "022"])
def test_a_command_makes_the_ledger_private_too(tmp_path: Path, mask: str) -> None:
    with umask(int(mask, 8)):
        settings = environment_for_tests(DATABASE_URL=f"sqlite:///{tmp_path / 'ledger.db'}", CURBSIDE_DATA_DIR=str(tmp_path))
        said = curbside("migrate", environment=settings)
    assert said.exit_code == 0, said
    assert set(modes(tmp_path).values()) == {0o600}


def test_what_is_ours_is_tightened_and_what_is_beside_it_or_behind_a_link_is_not(tmp_path: Path) -> None:
    root, other = tmp_path / "data", tmp_path / "other"
    folder = open_data_dir(root)
    (root / "theirs").mkdir(mode=0o755)
    ours = [folder.logs / "a.log", folder.valkey / "deep" / "b.aof", root / "credentials.env", root / "ledger.db-wal"]
    not_ours = [other, root / "theirs" / "c"]
    (folder.valkey / "deep").mkdir()
    for path in (*ours, *not_ours):
        path.touch()
        path.chmod(0o755)
    (folder.logs / "link").symlink_to(other)
    for path in (root, folder.run, folder.logs, folder.valkey, folder.valkey / "deep"):
        path.chmod(0o777)
    assert restrict_permissions(folder) == len(ours) + 5
    assert {mode(path) for path in ours} == {0o600}
    assert {mode(path) for path in (root, folder.run, folder.logs, folder.valkey, folder.valkey / "deep")} == {0o700}
    assert {mode(path) for path in not_ours} == {0o755}
    assert restrict_permissions(folder) == 0


def test_a_folder_of_everybody_is_refused_and_stays_as_it_is() -> None:
    shared = Path(tempfile.mkdtemp())
    shared.chmod(0o1777)
    said = curbside("run", environment={"CURBSIDE_DATA_DIR": str(shared)})
    assert (said.exit_code, said.errors) == (
        2,
        f"CURBSIDE_DATA_DIR: {shared} is shared by all users of this machine: name a directory below it.\n",
    )
    assert mode(shared) == 0o1777
    shared.rmdir()
    with pytest.raises(CommandError, match="is shared by all users"):
        reject_shared_directory(Path("/"))
