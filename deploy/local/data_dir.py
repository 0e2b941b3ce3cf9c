"""The data folder: what lies where in it, and that one `curbside run` at a time uses it."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import CommandError
from deploy.local import locks

_RUNNER = "curbside"
SUPERVISOR = "supervisord"


@dataclass(frozen=True)
class Folder:
    """Paths; absolute, since the parts need not have our working directory."""

    root: Path

    @property
    def run(self) -> Path:
        """Locks and what is written anew by each run."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """A log file for each part."""
        return self.root / "logs"

    @property
    def valkey(self) -> Path:
        """What the embedded Valkey keeps."""
        return self.root / "valkey"

    def lock(self, name: str) -> Path:
        """The lock file of a part."""
        return self.run / f"{name}.lock"

    def log(self, name: str) -> Path:
        """The log file of a part."""
        return self.logs / f"{name}.log"

    def still_running(self) -> dict[str, int]:
        """Parts that run on this folder, with their process ids."""
        found = {path.stem: locks.holder(path) for path in sorted(self.run.glob("*.lock")) if path.stem != _RUNNER}
        return {name: pid for name, pid in found.items() if pid is not None}


def open_folder(root: Path) -> Folder:
    """Make the folder and what belongs in it. Raises CommandError naming the variable."""
    folder = Folder(root.absolute())
    try:
        for each in (folder.root, folder.run, folder.logs, folder.valkey):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder.run / "writable").write_bytes(b"")
        (folder.run / "writable").unlink()
    except OSError as error:
        raise CommandError(f"CURBSIDE_DATA_DIR: cannot write in {folder.root}: {error.strerror}.") from error
    return folder


@contextlib.contextmanager
def only_one(folder: Folder) -> Iterator[None]:
    """Keep the folder for this process. Raises CommandError if another `curbside run` has it."""
    path = folder.lock(_RUNNER)
    descriptor = locks.take(path)
    if descriptor is None:
        pid = locks.holder(path)
        raise CommandError(
            f"Another `curbside run` (pid {pid}) already uses {folder.root}: stop it, or set CURBSIDE_DATA_DIR to another folder."
        )
    try:
        yield
    finally:
        os.close(descriptor)


def clear_leftovers(folder: Folder, patience_s: float, say: Callable[[str], None]) -> None:
    """Stop what a killed run left behind and wait until it has ended. Raises CommandError naming what still runs then.

    Only the supervisor starts parts, so where it is gone, the holder of a part's lock cannot change between look and signal.
    """
    if not (left := folder.still_running()):
        return
    say(f"parts of a run that was killed still run; stopping them: {', '.join(left)} ...")
    for pid in {left[SUPERVISOR]} if SUPERVISOR in left else set(left.values()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + patience_s
    while (left := folder.still_running()) and time.monotonic() < give_up:
        time.sleep(0.1)
    if left:
        named = ", ".join(f"{name} (pid {pid})" for name, pid in left.items())
        pids = " ".join(map(str, left.values()))
        raise CommandError(
            f"Parts of a run that was killed still run on {folder.root}: {named}; end them with `kill -9 {pids}`."
        )
