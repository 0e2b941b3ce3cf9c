"""The processes of Curbside in a run, and their supervisor: what ends is started again a second later, as systemd would."""

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.support.live_deployment import Program

RESTART_SECONDS = 1.0
STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.1


class Death(NamedTuple):
    """The end of a process that no fault asked for. `at` by the wall clock."""

    at: float
    member: str
    exit_code: int


class Member:
    """One process of the deployment. Faults act on it; while it is `held`, the supervisor leaves it alone."""

    def __init__(self, name: str, role: str, program: "LoggedProgram", port: int = 0) -> None:
        self.name, self.role, self.port = name, role, port
        self.program, self._usual = program, program
        self.held, self.asked, self.frozen = False, False, False
        self.starts = 0
        self.lock = threading.RLock()

    def start(self) -> None:
        """Start it."""
        with self.lock:
            self.asked, self.frozen = False, False
            self.program.start()
            self.starts += 1

    def kill(self) -> None:
        """Kill it, if it runs."""
        with self.lock:
            self.asked = True
            if self.program.is_running:
                self.program.kill()

    def terminate(self) -> float:
        """Send SIGTERM and wait for the end. Returns how many seconds that took; after `STOP_SECONDS` it is killed."""
        begin = time.monotonic()
        with self.lock:
            self.asked = True
            if self.program.is_running:
                self.program.terminate()
        while self.program.is_running and time.monotonic() - begin < STOP_SECONDS:
            time.sleep(0.02)
        self.kill()
        return time.monotonic() - begin

    def freeze(self) -> None:
        """Stop it in its tracks."""
        with self.lock, suppress(ProcessLookupError):
            if self.program.is_running:
                self.program.freeze()
                self.frozen = True

    def resume(self) -> None:
        """Let it go on."""
        with self.lock, suppress(ProcessLookupError):
            if self.program.is_running:
                self.program.resume()
            self.frozen = False

    def run_other(self, program: "LoggedProgram | None") -> None:
        """End it, and run another program in its place; None: its own again."""
        self.held = True
        self.terminate()
        with self.lock:
            self.program = program or self._usual
        self.start()
        self.held = False


class Supervisor:
    """Starts members again that have ended, and records the ends that nobody asked for."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members, self.deaths = members, list[Death]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor")

    def start(self) -> None:
        """Start all members, and watch them."""
        for member in self._members:
            member.start()
        for member in self._members:
            member.program.wait_until_ready()
        self._thread.start()

    def close(self) -> None:
        """Stop watching, and end all members."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        for member in self._members:
            member.resume()
            with suppress(AssertionError, ProcessLookupError):
                member.program.terminate()
        for member in self._members:
            with suppress(AssertionError, subprocess.TimeoutExpired):
                member.program.wait()
            member.program.discard()

    def _run(self) -> None:
        ended = dict[str, float]()
        while not self._stop.wait(_LOOK_SECONDS):
            for member in self._members:
                with member.lock:
                    self._look(member, ended)

    def _look(self, member: Member, ended: dict[str, float]) -> None:
        if member.held or member.program.is_running:
            ended.pop(member.name, None)
        elif member.name not in ended:
            ended[member.name] = time.monotonic()
            if not member.asked:
                self.deaths.append(Death(time.time(), member.name, member.program.wait()))
        elif time.monotonic() - ended[member.name] >= RESTART_SECONDS:
            del ended[member.name]
            member.start()


class LoggedProgram(Program):
    """A program that is ready when its log says so."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path, says: str) -> None:
        super().__init__(command, environment, log)
        self._says = says

    def reports_ready(self) -> bool:
        """Whether its log says so since its last start."""
        return self._says in self.log_of_this_run

    def _reports_ready(self) -> bool:
        return self.reports_ready()
