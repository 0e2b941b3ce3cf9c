"""The command line: `python -m tests.bench --help`."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console

from tests.bench import (
    ack,
    dispatch,
    growth,
    handlers,
    latency,
    machine,
    memory,
    path,
    recovery,
    servers,
    sizes,
    stages,
    urgent,
)
from tests.bench.backlog import WrongSumError
from tests.bench.load import LoadError
from tests.bench.processes import StartError
from tests.bench.report import Report


class Part(NamedTuple):
    """How to run a part, and how to print its table."""

    measure: Callable[[Report, Path, int, bool], None]
    show: Callable[[Report], None]


PARTS = {
    stages.PART: Part(stages.measure, stages.show),
    ack.PART: Part(ack.measure, ack.show),
    sizes.PART: Part(sizes.measure, sizes.show),
    dispatch.PART: Part(dispatch.measure, dispatch.show),
    handlers.PART: Part(handlers.measure, handlers.show),
    path.PART: Part(path.measure, path.show),
    latency.PART: Part(latency.measure, latency.show),
    urgent.PART: Part(urgent.measure, urgent.show),
    memory.PART: Part(memory.measure, memory.show),
    growth.PART: Part(growth.measure, growth.show),
    recovery.PART: Part(recovery.measure, recovery.show),
    growth.LARGE: Part(partial(growth.measure, part=growth.LARGE), partial(growth.show, part=growth.LARGE)),
}
WHEN_ASKED = (recovery.PART, growth.LARGE)
"""Parts that run only if `--only` names them: a round takes minutes."""
ALIASES = {"drain": dispatch.PART}
"""Old names of parts, which `--only` still accepts."""
_DEFAULT = ",".join(name for name in PARTS if name not in WHEN_ASKED)


def main(
    only: Annotated[str, typer.Option(help=f"Parts to run, separated by commas: {', '.join(PARTS)}.")] = _DEFAULT,
    runs: Annotated[int, typer.Option(min=1, max=100, help="Rounds; each runs every contender once.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Short rounds and small backlogs, to check that it works.")] = False,
    out: Annotated[Path | None, typer.Option(help="Append raw rows to this file, as JSON lines.")] = None,
    directory: Annotated[Path | None, typer.Option(help="Where data is written during the run: the disk to measure.")] = None,
    valkey: Annotated[
        Path | None,
        typer.Option(
            exists=True, help="The Valkey or Redis server program that all contenders use (default: the embedded one)."
        ),
    ] = None,
) -> None:
    """Measure Curbside, its rivals and its limits side by side."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    chosen = [ALIASES.get(name.strip(), name.strip()) for name in only.split(",") if name.strip()]
    if unknown := [name for name in chosen if name not in PARTS]:
        raise typer.BadParameter(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if valkey is not None:
        os.environ[servers.VALKEY_VARIABLE] = str(valkey.absolute())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # exit through the code that stops the servers
    with tempfile.TemporaryDirectory(prefix="curbside-bench-", dir=directory) as name:
        folder, report = Path(name), Report(console, out)
        facts = machine.facts(folder)
        report.note({**facts, "runs": runs, "quick": quick})
        console.print(machine.CAVEAT, "", *(f"{fact}: {text}" for fact, text in facts.items()), "", sep="\n")
        try:
            for part in chosen:
                (folder / part).mkdir()
                PARTS[part].measure(report, folder / part, runs, quick)
                PARTS[part].show(report)
        except (LoadError, StartError, WrongSumError) as error:
            console.print(f"[red]stopped:[/] {error}")
            raise typer.Exit(2) from error


typer.run(main)
