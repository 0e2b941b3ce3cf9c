"""The services' logs: complete in files, which supervisord rotates; in the terminal only warnings and errors.

The terminal stays readable that way; `--verbose` shows every line. Lines that a process writes before its logging is set up
have no level and stay in its file. `ProcessMonitor` reports that the process ended.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_HEAD = re.compile(
    r"""
      ^\d{4}-\d\d-\d\d\ [\d:,]+\ (?P<ours>[A-Z]+)\            # ingress and workers: 2030-01-01 12:00:00,000 WARNING ...
    | ^\[(?P<flower>[DIWEC])\ \d+\ [\d:]+                     # Flower: [W 300101 12:00:00 module:1] ...
    | ^\[[\d\ :,-]+:\ (?P<celery>[A-Z]+)/                    # Celery before its settings apply: [2030-...: WARNING/MainProcess]
    | ^\d+:[XCSM]\ \d+\ \w+\ \d{4}\ [\d:.]+\ (?P<valkey>[.*\#-])\   # Valkey: 12:M 01 Jan 2030 12:00:00.000 # ...
    """,
    re.VERBOSE,
)
_ERRORS = {"ERROR", "CRITICAL", "E", "C"}
_WARNINGS = {"WARNING", "#"}  # Flower's are about workers that are busy for a second
_EXPECTED = ("Memory overcommit must be enabled", "User requested shutdown", "Valkey is now ready to exit")
_MAX_LINE_BYTES = 64 << 10


class WarningFilter:
    """Finds the lines that are warnings or worse. Lines without a level after an error belong to it, such as a traceback."""

    def __init__(self) -> None:
        self._in_error = False

    def is_warning(self, line: str) -> bool:
        """Whether the next line is a warning or worse."""
        if (match := _HEAD.match(line)) is None:
            return self._in_error
        level = match[match.lastgroup or 0]
        self._in_error = level in _ERRORS
        return self._in_error or (level in _WARNINGS and not any(text in line for text in _EXPECTED))


class Tail:
    """Reads the lines written to a log file from now on, across its rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._offset = path.stat().st_size if path.exists() else 0
        self._rest = b""
        self._filter = WarningFilter()

    def lines(self) -> Iterator[tuple[str, bool]]:
        """Yield each new complete line, and whether it is a warning or worse."""
        for chunk in self._chunks():
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            if len(self._rest) > _MAX_LINE_BYTES:
                whole, self._rest = [*whole, self._rest], b""
            for raw in whole:
                line = raw.decode(errors="replace").rstrip()
                yield line, self._filter.is_warning(line)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _chunks(self) -> Iterator[bytes]:
        """Yield the new bytes of the open file, then, after a rotation, those of the new file."""
        if self._file is not None:
            yield self._file.read()
        try:
            if self._file is not None and os.path.samestat(os.fstat(self._file.fileno()), self._path.stat()):
                return
            fresh = self._path.open("rb")
        except FileNotFoundError:
            return
        fresh.seek(self._offset if self._file is None else 0)
        self.close()
        self._file = fresh
        yield fresh.read()


def last_line(path: Path) -> str:
    """Return the last line of a log that is not empty; empty if there is none."""
    return next((line.strip() for line in reversed(last_text(path).splitlines()) if line.strip()), "")


def last_text(path: Path) -> str:
    """Return the end of a log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MAX_LINE_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
