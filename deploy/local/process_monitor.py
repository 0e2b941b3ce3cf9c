"""Reports changes of the services' processes to the terminal, and restarts processes that supervisord has given up."""

import re
import time
from collections.abc import Callable, Iterator

from deploy.local.data_dir import SUPERVISOR, DataDir
from deploy.local.logs import last_line, last_text
from deploy.local.supervisor import Process, Supervisor

RETRY_SECONDS = 10.0
_DOWN = {"BACKOFF", "EXITED", "FATAL"}


class ProcessMonitor:
    """Remembers each process' last state. Yields one sentence for each change, not for each restart."""

    def __init__(self, supervisor: Supervisor, data_dir: DataDir, clock: Callable[[], float] = time.monotonic) -> None:
        self._supervisor, self._data_dir, self._clock = supervisor, data_dir, clock
        self._pids: dict[str, int] = {}
        self._failing: set[str] = set()
        self._restart_at: dict[str, float] = {}

    def changes(self) -> Iterator[str]:
        """Yield what has changed since the last call."""
        for process in self._supervisor.processes():
            yield from self._changes_of(process)
            self._restart_if_given_up(process)

    def _changes_of(self, process: Process) -> Iterator[str]:
        name, before = process.name, self._pids.get(process.name, 0)
        ended = process.state in _DOWN or (before and process.pid not in {0, before})
        if ended and name not in self._failing:
            self._failing.add(name)
            yield f"{name} ended ({self._cause(name)}) and is being restarted; its log is {self._data_dir.log(name)}"
        elif process.state == "RUNNING" and name in self._failing:
            self._failing.discard(name)
            yield f"{name} is running again"
        self._pids[name] = process.pid or before

    def _cause(self, name: str) -> str:
        """Return how a process ended, from supervisord's log, and its last log line if it exited by itself."""
        causes = re.findall(rf" exited: {name} \((.+?);", last_text(self._data_dir.log(SUPERVISOR)))
        cause = causes[-1] if causes else "cause unknown"
        return f"{cause}: {last_line(self._data_dir.log(name))}" if cause.startswith("exit status") else cause

    def _restart_if_given_up(self, process: Process) -> None:
        """Supervisord gives up after some failed starts in a row. Start the process again after `RETRY_SECONDS`."""
        if process.state != "FATAL":
            self._restart_at.pop(process.name, None)
        elif self._clock() >= self._restart_at.setdefault(process.name, self._clock() + RETRY_SECONDS):
            del self._restart_at[process.name]
            self._supervisor.start_service(process.service)
