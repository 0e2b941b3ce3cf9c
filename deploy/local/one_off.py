"""What a run is for, where it is for one thing only: a command that starts when all parts are ready, and whose end ends the run."""

import signal
import subprocess
from collections.abc import Mapping, Sequence

from deploy.errors import NOT_DONE
from deploy.local.data_dir import Folder
from deploy.local.supervisor import guarded

_NAME = "errand"
_STOP_SECONDS = 10.0


class Errand:
    """The command as a child, whose output is ours. In a session of its own, so that Ctrl-C in the terminal reaches only us."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, folder: Folder, environment: Mapping[str, str]) -> None:
        """Start it."""
        command = guarded(str(folder.lock(_NAME)), self._command)
        self._child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - our own command

    @property
    def has_ended(self) -> bool:
        """Whether it was started and has ended."""
        return self._child is not None and self._child.poll() is not None

    def end(self) -> int:
        """End it if it has not ended, as Ctrl-C would; its exit code. One that was cut short is not done."""
        if self._child is None:
            return NOT_DONE
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGINT)
            try:
                self._child.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            return NOT_DONE
        return self._child.returncode if self._child.returncode >= 0 else NOT_DONE
