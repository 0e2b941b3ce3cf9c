"""`curbside run` as a process, on free ports and with its own data directory."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.data_dir import DataDir
from tests.support.alert_worker import receiving
from tests.support.command_line import CURBSIDE, REPOSITORY, CommandResult, curbside, only
from tests.support.settings import free_port
from tests.support.waiting import wait_for

START_SECONDS = 90.0
STOP_SECONDS = 45.0


class LocalRun:
    """A running `curbside run`, and the commands of a second terminal."""

    def __init__(self, root: Path, data: str = "data of a shop") -> None:
        names = ("CURBSIDE_PORT", "CURBSIDE_FLOWER_PORT", "CURBSIDE_VALKEY_PORT")
        ports: set[int] = set()
        while len(ports) < len(names):
            ports.add(free_port())
        self.environment = {"CURBSIDE_DATA_DIR": str(root / data)} | dict(zip(names, map(str, ports), strict=True))
        self.data_dir = DataDir(Path(self.environment["CURBSIDE_DATA_DIR"]))
        self._output_file = root / "screen"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, umask: int = -1) -> None:
        """Start it with this umask (-1: unchanged) and wait for its banner."""
        with self._output_file.open("wb") as output:
            self._process = subprocess.Popen(
                [*CURBSIDE, "run"],
                env=only(self.environment),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                umask=umask,
            )
        wait_for(lambda: "Ctrl-C" in self.output or not self.is_running, START_SECONDS, "the banner")
        assert self.is_running, self.output
        assert "not ready" not in self.output

    @property
    def output(self) -> str:
        """Its output."""
        return self._output_file.read_text()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process; AssertionError if it was never started."""
        assert self._process is not None
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self, *signals: signal.Signals) -> int:
        """Send these signals, one right after the other. Return the exit code."""
        for number in signals:
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def clear(self) -> None:
        """Stop all processes that a failed test left."""
        if self.is_running:
            self.stop(signal.SIGTERM)
        wait_for(lambda: not self.data_dir.running_processes(), STOP_SECONDS, "all parts to end")

    def run_command(self, *arguments: str) -> CommandResult:
        """Run a command with the same environment variables."""
        return curbside(*arguments, environment=self.environment)


@contextmanager
def run_with_refused_orders(root: Path) -> Iterator[LocalRun]:
    """A run with the handler of `tests/examples/loyalty.py`, whose service refuses every delivered order. It stops on exit."""
    run = LocalRun(root, data="data")
    with receiving() as service:
        service.answers["/points"] = 422
        run.environment |= {"HANDLER_MODULES": "tests.examples.loyalty", "LOYALTY_URL": service.url}
        try:
            run.start()
            yield run
            assert run.stop(signal.SIGTERM) == 0
        finally:
            run.clear()
