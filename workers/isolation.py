"""An isolated process: it decodes or applies events that may end the process which does so, and is ended if it takes too long.

A segmentation fault, `os._exit` or the out-of-memory killer then ends it and not the worker, which sees that, and at which event.
If the worker itself is killed, nobody sees anything, and no event is blamed. `workers.isolated` is the program that runs there.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from time import monotonic
from typing import Any, NamedTuple

import msgspec

from workers.errors import DependencyUnavailableError, HandlerTimeoutError, KilledWorkerError

START_SECONDS = 60.0
END_SECONDS = 5.0
LENGTH_BYTES = 4


class IsolatedEvent(msgspec.Struct, array_like=True, frozen=True):
    """An event as it is given to the process: what the inbox holds of it."""

    event_id: str
    provider: str
    body: bytes
    request: bytes = b""


class Request(msgspec.Struct, array_like=True, frozen=True):
    """Events to apply together by a handler; without one, to decode."""

    handler: str
    events: Sequence[IsolatedEvent]


class Described(msgspec.Struct, array_like=True, frozen=True):
    """An error: whether no retry will help, and the fields that `error_report.describe` gives."""

    permanent: bool
    description: dict[str, Any]


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a request: the error that nothing was applied for, or the events that failed in part, each with its error."""

    unavailable: str = ""
    error: Described | None = None
    failed: list[tuple[str, Described]] = []
    alerts: bool = False


def write(descriptor: int, message: msgspec.Struct) -> None:
    """Write a message with its length. Raises BrokenPipeError."""
    data = msgspec.msgpack.encode(message)
    rest = memoryview(len(data).to_bytes(LENGTH_BYTES, "big") + data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read(descriptor: int, deadline: float | None = None) -> bytes | None:
    """Read a message; None at the end of the pipe. Raises TimeoutError at the deadline (`monotonic`)."""
    length = _read_exactly(descriptor, LENGTH_BYTES, deadline)
    return None if length is None else _read_exactly(descriptor, int.from_bytes(length, "big"), deadline)


def _read_exactly(descriptor: int, count: int, deadline: float | None) -> bytes | None:
    poll, found = select.poll(), bytearray()
    poll.register(descriptor, select.POLLIN)
    while len(found) < count:
        if deadline is not None and not poll.poll(max(0.0, deadline - monotonic()) * 1000):
            raise TimeoutError
        if not (piece := os.read(descriptor, min(1 << 20, count - len(found)))):
            return None
        found += piece
    return bytes(found)


_decode_report = msgspec.msgpack.Decoder(Report).decode


class _Child(NamedTuple):
    """A running isolated process, and the pipes to it and from it."""

    process: subprocess.Popen[bytes]
    requests: int
    reports: int

    @classmethod
    def start(cls, command: Sequence[str]) -> "_Child":
        """Start a process; it reports when it is ready. Raises OSError."""
        given, requests = os.pipe()
        reports, returned = os.pipe()
        try:
            return cls(subprocess.Popen(command, stdin=given, stdout=returned), requests, reports)  # noqa: S603 - our own program
        except OSError:
            os.close(requests)
            os.close(reports)
            raise
        finally:
            os.close(given)
            os.close(returned)

    def end(self, patience_seconds: float) -> int:
        """End the process, and return how it ended. It ends by itself when its pipe is closed, unless it hangs."""
        os.close(self.requests)
        os.close(self.reports)
        try:
            return self.process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class IsolatedProcess:
    """One isolated process, started when it is needed. For one thread at a time."""

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", "workers.isolated")) -> None:
        self._command = command
        self._child: _Child | None = None

    def run(self, request: Request, seconds: float | None = None) -> Report:
        """Have a request done. Raises `KilledWorkerError` if it ended the process, `HandlerTimeoutError` after `seconds`.

        Raises `DependencyUnavailableError` if the process cannot be started.
        """
        child = self._child or self._start()
        try:
            write(child.requests, request)
            answer = read(child.reports, None if seconds is None else monotonic() + seconds)
        except BrokenPipeError:
            answer = None
        except BaseException as error:
            self._end(0)
            if isinstance(error, TimeoutError):
                raise HandlerTimeoutError(f"it took longer than {seconds:g} s") from None
            raise
        if answer is None:
            raise KilledWorkerError(f"the process that tried it alone {_how(self._end(END_SECONDS))}")
        return _decode_report(answer)

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._end(END_SECONDS)

    def _start(self) -> _Child:
        try:
            self._child = _Child.start(self._command)
            ready = read(self._child.reports, monotonic() + START_SECONDS)
        except (OSError, TimeoutError) as error:
            self.close()
            raise DependencyUnavailableError(f"an isolated process ({type(error).__name__})") from error
        if ready is None:
            raise DependencyUnavailableError(f"an isolated process, which {_how(self._end(END_SECONDS))} at its start,")
        return self._child

    def _end(self, patience_seconds: float) -> int:
        child, self._child = self._child, None
        return child.end(patience_seconds) if child is not None else 0


def _how(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
