"""Permissions of a SQLite ledger's files: only their owner may read and write them, whatever the umask.

In the data directory, permissions of other users are removed, and a warning is logged. Elsewhere, a new file gets owner
permissions only, and an existing file keeps its permissions. SQLite gives `-wal` and `-shm` the permissions of the ledger's
file.
"""

import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

OWNER_ONLY = 0o600

log = logging.getLogger("curbside.ledger")


def restrict_permissions(engine: Engine, data_dir: Path) -> None:
    """Restrict the permissions of the database's files each time the engine connects. Only SQLite files have any."""
    name = engine.url.database
    if engine.dialect.name != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return
    path = Path(name).absolute()

    def before_connecting(*_: Any) -> None:
        with contextlib.suppress(OSError):  # SQLite raises a clearer error
            _create(path)
            if path.resolve().is_relative_to(data_dir.resolve()):
                _remove_others(path)

    event.listen(engine, "do_connect", before_connecting)


def _create(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))


def _remove_others(path: Path) -> None:
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if each.exists() and stat.S_IMODE(each.stat().st_mode) & ~OWNER_ONLY:
            each.chmod(OWNER_ONLY)
            log.warning("other users could read or write %s: now only its owner can", each)
