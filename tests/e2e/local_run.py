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
    """A `curbside run` of its own; commands of a second terminal run beside it."""

    def __init__(self, root: Path, data: str = "data of a shop") -> None:
        names = ("CURBSIDE_PORT", "CURBSIDE_FLOWER_PORT", "CURBSIDE_VALKEY_PORT")
        self.environment = {"CURBSIDE_DATA_DIR": str(root / data), **{name: str(free_port()) for name in names}}
        self.data_dir = DataDir(Path(self.environment["CURBSIDE_DATA_DIR"]))
        self._output_file = root / "screen"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, umask: int = -1) -> None:
        """Start it, under this umask if one is given, and wait for its banner."""
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
        """What it has printed."""
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
        """Ask it to end, by each of the signals at once; its exit code."""
        for number in signals:
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def clear(self) -> None:
        """End what a failed test left."""
        if self.is_running:
            self.stop(signal.SIGTERM)
        wait_for(lambda: not self.data_dir.running_processes(), STOP_SECONDS, "all parts to end")

    def run_command(self, *arguments: str) -> CommandResult:
        """A command of a second terminal, under the same variables."""
        return curbside(*arguments, environment=self.environment)


@contextmanager
def run_with_refused_orders(root: Path) -> Iterator[LocalRun]:
    """A run with the handler of `tests/examples/loyalty.py`, whose service refuses every delivered order; it is stopped afterwards."""
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
