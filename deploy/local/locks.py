"""Who uses a data folder: one lock file for each process, with its id inside, held by the kernel until it ends.

A lock that is held names a process that lives, whatever crashed before; an id in a free lock file means nothing.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path

_POLL_SECONDS = 0.1


def take(path: Path, patience_s: float = 0.0) -> int | None:
    """Lock the file and write this process's id into it. The lock's descriptor, or None if another holds it for so long.

    Raises OSError if the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                os.close(descriptor)
                return None
            time.sleep(_POLL_SECONDS)
        else:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            return descriptor


def holder(path: Path) -> int | None:
    """The process that holds the lock; None if none does. Looking shares the lock for a moment, so lookers do not meet."""
    with contextlib.suppress(FileNotFoundError), path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read()
            return int(text) if text.isdecimal() else 0
    return None
