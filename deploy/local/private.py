"""Rights to the data folder: its owner's alone, files 0600 and folders 0700, whatever it was before and whatever the umask is.

What a run and its parts make is private by the umask that they inherit. What was there before is made so at the start, as far as it has a
name of ours: somebody may have put other things beside it.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from deploy.errors import CommandError
from deploy.local.data_dir import Folder

UMASK = 0o077
_OTHERS = 0o077


def refuse_shared(root: Path) -> None:
    """Raises CommandError for a folder that is everybody's, such as /tmp: it cannot be made ours."""
    if root.is_dir() and (root.stat().st_mode & stat.S_ISVTX or root.resolve() == Path("/")):
        raise CommandError(f"CURBSIDE_DATA_DIR: {root} is shared by all users of this machine: name a folder of its own.")


def tighten(folder: Folder) -> int:
    """Take from others whatever rights they have to the folder and what is ours in it; to how many files and folders they had some.

    Links are not followed. Raises CommandError if something belongs to somebody else.
    """
    return sum(_tighten(path) for path in _ours(folder))


def _tighten(path: Path) -> bool:
    """Whether it had to be."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & _OTHERS:
            return False
        path.chmod(stat.S_IMODE(mode) & (0o700 if stat.S_ISDIR(mode) else 0o600))
    except FileNotFoundError:  # a part that a killed run left behind has removed it
        return False
    except OSError as error:
        raise CommandError(
            f"CURBSIDE_DATA_DIR: others have rights to {path}, which cannot be changed: {error.strerror}."
        ) from error
    return True


def _ours(folder: Folder) -> Iterator[Path]:
    yield folder.root.resolve()
    yield from folder.root.glob("credentials.env*")
    yield from folder.root.glob("ledger.db*")
    for top in (folder.run, folder.logs, folder.valkey):
        for parent, folders, files in os.walk(top):
            yield Path(parent)
            yield from (Path(parent, name) for name in (*folders, *files))
