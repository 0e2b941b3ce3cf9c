"""The ingress and Celery workers as processes that a test may stop, kill and restart.

Each appends its log to one file over all restarts.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx

from tests.support.ingress_client import ingress_command
from tests.support.settings import LOOPBACK, environment_for_tests, free_port
from tests.support.waiting import wait_for

START_SECONDS = 30.0
STOP_SECONDS = 20.0
_ROOT = Path(__file__).parents[2]


class Program:
    """A command that runs as a child process, with these settings in its environment and its log in a file."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path, cwd: Path = _ROOT) -> None:
        self._command, self._log, self._cwd = command, log, cwd
        self._environment = os.environ | environment_for_tests(**environment) | {"PYTHONUNBUFFERED": "1"}
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0

    def with_code_from(self, folder: Path) -> Self:
        """Run the code of another folder, such as another release. Return self."""
        self._cwd = folder
        return self

    @property
    def log(self) -> str:
        """Everything it has logged, over all restarts."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def log_of_this_run(self) -> str:
        """What it has logged since its last start."""
        return self._log.read_bytes()[self._started_at :].decode()

    @property
    def is_running(self) -> bool:
        """Whether the process runs or is frozen."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; it may not be ready yet (`wait_until_ready`)."""
        assert not self.is_running, "it runs already"
        self._started_at = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,  # Ctrl-C is for whoever started it
            )

    def terminate(self) -> None:
        """Send SIGTERM."""
        assert self._process is not None, "it was not started"
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end, as after a crash."""
        assert self._process is not None, "it was not started"
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """Send SIGSTOP."""
        assert self._process is not None, "it was not started"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT after `freeze`."""
        assert self._process is not None, "it was not started"
        self._process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait until it ends. Return its exit code."""
        assert self._process is not None, "it was not started"
        return self._process.wait(STOP_SECONDS)

    def wait_until_ready(self) -> None:
        """Wait until it is ready to work."""
        wait_for(self._is_ready, START_SECONDS, f"{' '.join(self._command[1:4])} to be ready")

    def discard(self) -> None:
        """Kill it if it runs."""
        if self.is_running:
            self.kill()

    def _is_ready(self) -> bool:
        assert self.is_running, f"it ended while starting: {self.log_of_this_run}"
        return self._reports_ready()

    def _reports_ready(self) -> bool:
        return True


class Worker(Program):
    """A worker of all queues."""

    def __init__(self, name: str, folder: Path, **environment: str) -> None:
        command = [sys.executable, "-m", "workers", "--name", f"{name}@test"]
        super().__init__(command, environment, folder / f"{name}.log")
        self._name = name

    def _reports_ready(self) -> bool:
        return f"{self._name}@test ready." in self.log_of_this_run


class Ingress(Program):
    """An ingress that keeps its port over restarts."""

    def __init__(self, folder: Path, **environment: str) -> None:
        port = free_port()
        self.url = f"http://{LOOPBACK}:{port}"
        super().__init__(ingress_command(port), environment, folder / "ingress.log")

    def _reports_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz").is_success
        except httpx.TransportError:
            return False


class Deployment:
    """An ingress and workers with the same settings."""

    def __init__(self, folder: Path, *, workers: int = 2, **environment: str) -> None:
        self.ingress = Ingress(folder, **environment)
        self.workers = [Worker(f"worker{number}", folder, **environment) for number in range(1, workers + 1)]

    @property
    def programs(self) -> list[Program]:
        """The ingress and the workers."""
        return [self.ingress, *self.workers]

    @property
    def logs(self) -> str:
        """Everything that all of them have logged."""
        return "".join(each.log for each in self.programs)


@contextmanager
def deployed(folder: Path, *, workers: int = 2, **environment: str) -> Iterator[Deployment]:
    """A deployment that is ready. On exit every process ends, by SIGTERM first."""
    deployment = Deployment(folder, workers=workers, **environment)
    try:
        for each in deployment.programs:
            each.start()
        for each in deployment.programs:
            each.wait_until_ready()
        yield deployment
        running = [each for each in deployment.programs if each.is_running]
        for each in running:
            each.terminate()
        for each in running:
            each.wait()
    finally:
        for each in deployment.programs:
            each.discard()
