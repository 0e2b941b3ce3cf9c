"""Run before each part, in its process: `python -m deploy.local.exec_wrapper LOCK COMMAND...`.

It ties the part's life to its parent's (Linux), so that a killed runner leaves nothing behind, and holds the part's lock,
so that no part runs twice on one data folder and the next run sees what is left. Then the command takes its place.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from deploy.local.locks import holder, take

_PR_SET_PDEATHSIG = 1
_PATIENCE_S = 3.0


def main() -> None:
    """Become the part."""
    lock, *command = sys.argv[1:]
    _end_with_parent()
    descriptor = take(Path(lock), _PATIENCE_S)
    if descriptor is None:
        sys.exit(f"another one still runs here (pid {holder(Path(lock))})")
    os.set_inheritable(descriptor, True)
    try:
        os.execvp(command[0], command)  # noqa: S606 - that is what it is for
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


def _end_with_parent() -> None:
    """Have the kernel send SIGTERM when the parent ends. It outlives exec; other systems than Linux do without."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the parent has ended already")


if __name__ == "__main__":
    main()
