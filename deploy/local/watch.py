"""Notices what happens to the parts' processes, for the terminal, and has supervisor try again those that it gave up."""

import time
from collections.abc import Callable, Iterator

from deploy.local.folder import Folder
from deploy.local.logs import last_line
from deploy.local.supervisor import Process, Supervisor

RETRY_SECONDS = 10.0
_DOWN = {"BACKOFF", "EXITED", "FATAL"}


class Watch:
    """Remembers the processes as they were at the last look. One sentence for each change, not for each try."""

    def __init__(self, supervisor: Supervisor, folder: Folder, clock: Callable[[], float] = time.monotonic) -> None:
        self._supervisor, self._folder, self._clock = supervisor, folder, clock
        self._pids: dict[str, int] = {}
        self._failing: set[str] = set()
        self._again_at: dict[str, float] = {}

    def look(self) -> Iterator[str]:
        """What changed since the last look."""
        for process in self._supervisor.processes():
            yield from self._changes(process)
            self._try_again(process)

    def _changes(self, process: Process) -> Iterator[str]:
        name, before = process.name, self._pids.get(process.name, 0)
        if process.state in _DOWN and name not in self._failing:
            self._failing.add(name)
            why = last_line(self._folder.log(name))
            yield f"{name} ended and is started again{': ' + why if why else ''} ({self._folder.log(name)})"
        elif process.state == "RUNNING" and name in self._failing:
            self._failing.discard(name)
            yield f"{name} runs again (pid {process.pid})"
        elif process.pid and before and process.pid != before and name not in self._failing:
            yield f"{name} ended (pid {before}) and was started again (pid {process.pid})"
        self._pids[name] = process.pid or before

    def _try_again(self, process: Process) -> None:
        """Supervisor gives up after some tries in a row; nobody wants that here."""
        if process.state != "FATAL":
            self._again_at.pop(process.name, None)
        elif self._clock() >= self._again_at.setdefault(process.name, self._clock() + RETRY_SECONDS):
            del self._again_at[process.name]
            self._supervisor.start_part(process.part)
