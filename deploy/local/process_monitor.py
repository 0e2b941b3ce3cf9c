"""Notices what happens to the parts' processes, for the terminal, and has supervisor try again those that it gave up."""

import re
import time
from collections.abc import Callable, Iterator

from deploy.local.data_dir import SUPERVISOR, Folder
from deploy.local.logs import last_line, last_text
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
        ended = process.state in _DOWN or (before and process.pid not in {0, before})
        if ended and name not in self._failing:
            self._failing.add(name)
            yield f"{name} ended ({self._why(name)}) and is started again; its log is {self._folder.log(name)}"
        elif process.state == "RUNNING" and name in self._failing:
            self._failing.discard(name)
            yield f"{name} runs again"
        self._pids[name] = process.pid or before

    def _why(self, name: str) -> str:
        """How it ended, from supervisord's log, and if it ended by itself its last words."""
        told = re.findall(rf" exited: {name} \((.+?);", last_text(self._folder.log(SUPERVISOR)))
        how = told[-1] if told else "why is not known"
        return f"{how}: {last_line(self._folder.log(name))}" if how.startswith("exit status") else how

    def _try_again(self, process: Process) -> None:
        """Supervisor gives up after some tries in a row; nobody wants that here."""
        if process.state != "FATAL":
            self._again_at.pop(process.name, None)
        elif self._clock() >= self._again_at.setdefault(process.name, self._clock() + RETRY_SECONDS):
            del self._again_at[process.name]
            self._supervisor.start_part(process.part)
