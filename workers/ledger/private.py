"""Files of a SQLite ledger: its owner's alone, whatever the umask. SQLite gives `-wal` and `-shm` the rights that the ledger's file has.

A file in the data folder is ours: rights that others have to it are taken away, and that is said. Elsewhere it is the user's: a new one
is made as private, one that was there keeps what it has.
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


def keep_private(engine: Engine, data_folder: Path) -> None:
    """Look after the files of this engine's database each time it connects; nothing to do unless it is a file."""
    name = engine.url.database
    if engine.dialect.name != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return
    path = Path(name).absolute()

    def before_connecting(*_: Any) -> None:
        with contextlib.suppress(OSError):  # SQLite says what is wrong
            _make(path)
            if path.resolve().is_relative_to(data_folder.resolve()):
                _tighten(path)

    event.listen(engine, "do_connect", before_connecting)


def _make(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))


def _tighten(path: Path) -> None:
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if each.exists() and stat.S_IMODE(each.stat().st_mode) & ~OWNER_ONLY:
            each.chmod(OWNER_ONLY)
            log.warning("others could read or write %s: now its owner alone can", each)
