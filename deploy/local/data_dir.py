"""The data directory: its layout, and the lock that lets one `curbside run` use it at a time."""

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
class DataDir:
    """The paths in a data directory. They are absolute: services may have another working directory."""

    root: Path

    @property
    def run(self) -> Path:
        """Locks, and files that each run writes again."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """The log files, one per process."""
        return self.root / "logs"

    @property
    def valkey(self) -> Path:
        """The embedded Valkey's data."""
        return self.root / "valkey"

    def lock(self, name: str) -> Path:
        """Return the lock file of a process."""
        return self.run / f"{name}.lock"

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.logs / f"{name}.log"

    def running_processes(self) -> dict[str, int]:
        """Return the processes that run on this data directory, by name, with their ids."""
        found = {path.stem: locks.holder(path) for path in sorted(self.run.glob("*.lock")) if path.stem != _RUNNER}
        return {name: pid for name, pid in found.items() if pid is not None}


def open_data_dir(root: Path) -> DataDir:
    """Create the data directory and its subdirectories. Raises CommandError naming the variable."""
    data_dir = DataDir(root.absolute())
    try:
        for each in (data_dir.root, data_dir.run, data_dir.logs, data_dir.valkey):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data_dir.run / "writable").write_bytes(b"")
        (data_dir.run / "writable").unlink()
    except OSError as error:
        raise CommandError(f"CURBSIDE_DATA_DIR: cannot write in {data_dir.root}: {error.strerror}.") from error
    return data_dir


@contextlib.contextmanager
def exclusive_use(data_dir: DataDir) -> Iterator[None]:
    """Hold the data directory's lock. Raises CommandError if another `curbside run` holds it."""
    path = data_dir.lock(_RUNNER)
    descriptor = locks.acquire(path)
    if descriptor is None:
        pid = locks.holder(path)
        raise CommandError(
            f"Another `curbside run` (pid {pid}) already uses {data_dir.root}: stop it, or set CURBSIDE_DATA_DIR differently."
        )
    try:
        yield
    finally:
        os.close(descriptor)


def stop_leftovers(data_dir: DataDir, timeout_s: float, message: Callable[[str], None]) -> None:
    """Stop the processes that a killed run left behind, and wait for their end. Raises CommandError if some still run.

    Only the supervisor starts services. Once it has ended, a lock's holder cannot change between reading its id and the signal.
    """
    if not (left := data_dir.running_processes()):
        return
    message(f"processes of a killed run are still running; stopping them: {', '.join(left)} ...")
    for pid in {left[SUPERVISOR]} if SUPERVISOR in left else set(left.values()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while (left := data_dir.running_processes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    if left:
        named = ", ".join(f"{name} (pid {pid})" for name, pid in left.items())
        pids = " ".join(map(str, left.values()))
        raise CommandError(
            f"Processes of a killed run are still running on {data_dir.root}: {named}; end them with `kill -9 {pids}`."
        )
