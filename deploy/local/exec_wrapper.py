"""Starts a process of a service: `python -m deploy.local.exec_wrapper LOCK COMMAND...`.

It makes the process end with its parent (Linux), so a killed runner leaves no process behind. It holds the process' lock: no
service runs twice on one data directory, and the next run finds leftover processes. Then it executes the command.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from deploy.local.locks import acquire, holder

_PR_SET_PDEATHSIG = 1
_LOCK_TIMEOUT_S = 3.0


def main() -> None:
    """Acquire the lock and execute the command."""
    lock, *command = sys.argv[1:]
    _end_with_parent()
    descriptor = acquire(Path(lock), _LOCK_TIMEOUT_S)
    if descriptor is None:
        sys.exit(f"another process of this service still runs (pid {holder(Path(lock))})")
    os.set_inheritable(descriptor, True)
    try:
        os.execvp(command[0], command)  # noqa: S606 - our own command
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


def _end_with_parent() -> None:
    """Have the kernel send SIGTERM when the parent ends. The setting survives exec; it exists on Linux only."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the parent process has ended already")


if __name__ == "__main__":
    main()
