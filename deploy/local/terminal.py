"""The output of `make run`: a spinner while it starts, the banner, then one line for each notable event.

In a pipe or a file it is the same text, without colours and spinner.
"""

from collections.abc import Iterable

from rich.console import Console
from rich.status import Status
from rich.text import Text

from deploy.local.banner import Section
from schemas.sanitizing import sanitize

_NAME_WIDTH = 10


class Terminal:
    """Writes to standard output; with `verbose`, every line of every process."""

    def __init__(self, console: Console, *, verbose: bool) -> None:
        self._console, self._verbose = console, verbose
        self._status: Status | None = None

    def message(self, text: str, style: str = "bold") -> None:
        """Print a line of the runner itself."""
        self._line("curbside", text, style)

    def waiting(self, text: str | None) -> None:
        """Show what the run waits for, with a spinner; None removes it."""
        if self._status is not None and text is None:
            self._status.stop()
            self._status = None
        elif text is not None and self._console.is_terminal:
            if self._status is None:
                self._status = self._console.status(text)
                self._status.start()
            self._status.update(text)

    def process_line(self, name: str, line: str, *, is_warning: bool) -> None:
        """Print a line of a process' log."""
        if is_warning or self._verbose:
            self._line(name, line, "yellow" if is_warning else "dim")

    def banner(self, sections: Iterable[Section]) -> None:
        """Print the banner."""
        self._put(Text("\nCurbside is running.", "bold green"))
        for title, rows in sections:
            self._put(Text(f"\n{title}", "bold"))
            width = max(len(name) for name, _ in rows)
            for name, value in rows:
                self._put(Text.assemble("  ", (name.ljust(width), "dim"), "  ", (value, "cyan")))
        self._put(Text())

    def _line(self, name: str, text: str, style: str) -> None:
        self._put(Text.assemble((name.ljust(_NAME_WIDTH), "cyan"), ("| ", "dim"), (sanitize(text), style)))

    def _put(self, text: Text) -> None:
        """Print without wrapping or cutting: a command to paste must stay on one line."""
        self._console.print(text, soft_wrap=True)
