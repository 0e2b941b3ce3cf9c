"""A run with one purpose: a command that starts when all services are ready, and whose end ends the run."""

import signal
import subprocess
from collections.abc import Mapping, Sequence

from deploy.errors import NOT_DONE
from deploy.local.data_dir import DataDir
from deploy.local.supervisor import wrapped_command

_NAME = "one_off"
_STOP_SECONDS = 10.0


class OneOff:
    """A command as a child process with the same output. Its own session keeps Ctrl-C in the terminal from it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, data_dir: DataDir, environment: Mapping[str, str]) -> None:
        """Start the command."""
        command = wrapped_command(str(data_dir.lock(_NAME)), self._command)
        self._child = subprocess.Popen(  # noqa: S603 - our own command
            command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )

    @property
    def has_ended(self) -> bool:
        """Whether the command was started and has ended."""
        return self._child is not None and self._child.poll() is not None

    def end(self) -> int:
        """Return the exit code. A command that still runs is interrupted, as by Ctrl-C, and its exit code is NOT_DONE."""
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
