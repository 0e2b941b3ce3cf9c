"""How commands print: tables and colours in a terminal, plain lines in a pipe, JSON on request.

`NO_COLOR` is respected. Errors go to standard error.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from schemas.sanitizing import sanitize, sanitize_lines

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_OF_A_PIPE = 10_000


def console() -> "Console":
    """A console on standard output. In a pipe it does not wrap lines."""
    from rich.console import Console  # noqa: PLC0415 - quick start

    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_WIDTH_OF_A_PIPE)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, always one line per row. In a pipe, at least two blanks separate the columns."""
    from rich import box  # noqa: PLC0415 - quick start
    from rich.table import Table  # noqa: PLC0415 - quick start
    from rich.text import Text  # noqa: PLC0415 - quick start

    terminal = console()
    table = Table(box=box.SIMPLE_HEAD if terminal.is_terminal else None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(sanitize(cell)) for cell in row))
    terminal.print(table)


def print_json(value: Any) -> None:
    """Print one JSON document. Characters that a terminal interprets or hides are written as JSON escapes."""
    import orjson  # noqa: PLC0415 - quick start

    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    typer.echo("".join(each if each == "\n" or sanitize(each) == each else _json_escape(each) for each in text))


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def print_error(text: str) -> None:
    """Print an error to standard error, in red where colours are on."""
    from rich.console import Console  # noqa: PLC0415 - quick start
    from rich.text import Text  # noqa: PLC0415 - quick start

    Console(stderr=True, highlight=False).print(Text(sanitize_lines(text), "red"), soft_wrap=True)


def format_age(seconds: float | None) -> str:
    """Format a duration for people: `1.5 s`, `12 min`, `3.0 h`; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
