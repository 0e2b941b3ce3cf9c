"""Processes under measurement: started on loopback and a free port, waited for, always stopped, and their CPU time read."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20.0
STOP_SECONDS = 5.0


class StartError(Exception):
    """A part did not start; `str()` ends with what it wrote."""


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    command: Sequence[str], is_ready: Callable[[], bool], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a program until the block ends; gives its process id once `is_ready`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not is_ready():
            if process.poll() is not None or time.monotonic() > until:
                raise StartError(f"{command[0]} did not start: {log.read_text(errors='replace')[-800:]}")
            time.sleep(0.02)
        yield process.pid
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a pool's children that outlived their parent


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def python(*arguments: str) -> list[str]:
    """A command for this interpreter."""
    return [sys.executable, *arguments]


def tree_cpu_seconds(*pids: int) -> float:
    """CPU time of processes and all below them, also of those that have ended and were waited for; 0 where the system does not report it."""
    spent, children = dict[int, float](), defaultdict[int, list[int]](list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            numbers = path.read_text().rpartition(") ")[2].split()
            pid = int(path.parent.name)
            children[int(numbers[1])].append(pid)
            spent[pid] = sum(map(int, numbers[11:15])) / os.sysconf("SC_CLK_TCK")
    waiting, total = list(pids), 0.0
    while waiting:
        pid = waiting.pop()
        total += spent.get(pid, 0.0)
        waiting += children[pid]
    return total


def rss_mb(pid: int) -> float | None:
    """Resident memory of a process in MB; None where the system does not report it."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return None
