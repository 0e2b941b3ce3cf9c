"""Lock files of a data directory: one per process, with the process id inside. The kernel holds a lock until the process ends.

A held lock therefore names a running process, also after a crash. The id in a free lock file means nothing.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path

_POLL_SECONDS = 0.1


def acquire(path: Path, timeout_s: float = 0.0) -> int | None:
    """Lock the file and write this process' id into it. Returns the lock's descriptor, or None if another process keeps it.

    Raises OSError if the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(_POLL_SECONDS)
        else:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            return descriptor


def holder(path: Path) -> int | None:
    """Return the process that holds the lock; None if none does. Checking takes a shared lock, so checks do not conflict."""
    with contextlib.suppress(FileNotFoundError), path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read()
            return int(text) if text.isdecimal() else 0
    return None
