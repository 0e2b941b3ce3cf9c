"""Permissions of the data directory: its owner only, files 0600 and directories 0700, regardless of earlier modes and umask.

New files are private because the run and its services inherit the umask. Existing files are restricted at the start, if their
names are Curbside's: other files may lie beside them.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from deploy.errors import CommandError
from deploy.local.data_dir import DataDir

UMASK = 0o077
_OTHERS = 0o077


def reject_shared_directory(root: Path) -> None:
    """Raises CommandError for a directory shared by all users, such as /tmp: it cannot be made private."""
    if root.is_dir() and (root.stat().st_mode & stat.S_ISVTX or root.resolve() == Path("/")):
        raise CommandError(f"CURBSIDE_DATA_DIR: {root} is shared by all users of this machine: name a directory below it.")


def restrict_permissions(data_dir: DataDir) -> int:
    """Remove other users' permissions from the data directory and Curbside's files in it. Returns how many paths were changed.

    Links are not followed. Raises CommandError if a path belongs to another user.
    """
    return sum(_restrict(path) for path in _ours(data_dir))


def _restrict(path: Path) -> bool:
    """Restrict one path. Whether it was changed."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & _OTHERS:
            return False
        path.chmod(stat.S_IMODE(mode) & (0o700 if stat.S_ISDIR(mode) else 0o600))
    except FileNotFoundError:  # a leftover process has removed it
        return False
    except OSError as error:
        raise CommandError(
            f"CURBSIDE_DATA_DIR: others have permissions on {path}, which cannot be changed: {error.strerror}."
        ) from error
    return True


def _ours(data_dir: DataDir) -> Iterator[Path]:
    yield data_dir.root.resolve()
    yield from data_dir.root.glob("credentials.env*")
    yield from data_dir.root.glob("ledger.db*")
    for top in (data_dir.run, data_dir.logs, data_dir.valkey):
        for parent, directories, files in os.walk(top):
            yield Path(parent)
            yield from (Path(parent, name) for name in (*directories, *files))
