"""The terminal of `make run`: a spinner while it starts, the banner, then one line for each thing worth knowing.

In a pipe or a file it is the same text without colours and without the spinner.
"""

from collections.abc import Iterable

from rich.console import Console
from rich.status import Status
from rich.text import Text

from deploy.local.banner import Section
from schemas.sanitizing import sanitize

_NAME_WIDTH = 10


class Screen:
    """Writes to standard output; `verbose` shows every line of every part."""

    def __init__(self, console: Console, *, verbose: bool) -> None:
        self._console, self._verbose = console, verbose
        self._status: Status | None = None

    def say(self, text: str, style: str = "bold") -> None:
        """A line of our own."""
        self._line("curbside", text, style)

    def waiting(self, text: str | None) -> None:
        """What is being waited for, beside a spinner; None ends it."""
        if self._status is not None and text is None:
            self._status.stop()
            self._status = None
        elif text is not None and self._console.is_terminal:
            if self._status is None:
                self._status = self._console.status(text)
                self._status.start()
            self._status.update(text)

    def part(self, name: str, line: str, *, loud: bool) -> None:
        """A line of a part."""
        if loud or self._verbose:
            self._line(name, line, "yellow" if loud else "dim")

    def banner(self, sections: Iterable[Section]) -> None:
        """Tell where everything is."""
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
        """Never wrapped or cut: a command to paste must stay one line."""
        self._console.print(text, soft_wrap=True)
