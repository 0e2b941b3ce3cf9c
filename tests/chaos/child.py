"""A helper process of the program, which takes commands as lines of JSON and answers each with one."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_STOP_SECONDS = 10.0

Answer = dict[str, Any]


class ChildError(Exception):
    """A helper process ended, or does not answer; `str()` names its log."""


class Child:
    """`python -m tests.chaos.<module>` with its log in a file. Its first answer says that it is ready. Safe to share between threads."""

    def __init__(self, module: str, logs: Path, **configuration: Any) -> None:
        self._log = logs / f"{module}.log"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"tests.chaos.{module}", json.dumps(configuration)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the program, which then stops its helpers
            )
        self._lock = threading.Lock()
        self.ready = self._answer()

    def command(self, name: str, **arguments: Any) -> Answer:
        """Send a command and return the answer. Raises `ChildError`."""
        with self._lock:
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(json.dumps({"command": name} | arguments).encode() + b"\n")
                self._process.stdin.flush()
            except OSError as error:
                raise ChildError(f"a helper of the program has ended: see {self._log}") from error
            return self._answer()

    def close(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildError(f"a helper of the program has ended: see {self._log}")
        answer: Answer = json.loads(line)
        return answer


async def serve_commands(first: Answer, act: Callable[[str, Answer], Awaitable[Answer]]) -> None:
    """The child's side: say that it is ready, then answer commands until the parent is gone."""
    import asyncio  # noqa: PLC0415 - the parent needs no event loop

    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _write(first)
    while line := await reader.readline():
        arguments: Answer = json.loads(line)
        _write(await act(arguments.pop("command"), arguments))


def _write(answer: Answer) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")
