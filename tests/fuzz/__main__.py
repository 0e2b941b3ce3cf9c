"""The command line: `python -m tests.fuzz --help`."""

import hashlib
import importlib.util
import time
import traceback
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from tests.fuzz import atheris_run, loop

FOLDER = Path(".data/fuzz")
REPLAY = "python -m tests.fuzz --replay"
app = typer.Typer(add_completion=False)


class Engine(StrEnum):
    """Who chooses the bodies."""

    ATHERIS = "atheris"
    LOOP = "loop"


@app.command()
def main(
    bodies: Annotated[int | None, typer.Option(min=1, help="How many bodies; by default as many as the seconds allow.")] = None,
    seconds: Annotated[int | None, typer.Option(min=1, help="How long; 30 by default, unless --bodies says how many.")] = None,
    engine: Annotated[
        Engine | None, typer.Option(help="Guided by coverage, or the plain loop where atheris is not installed.")
    ] = None,
    seed: Annotated[int, typer.Option(min=1, help="The same seed chooses the same bodies.")] = 1,
    folder: Annotated[Path, typer.Option(help="Where findings, and the fuzzer's corpus, are kept.")] = FOLDER,
    replay: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Judge this one body, such as a finding.")
    ] = None,
) -> None:
    """Run random and damaged bodies through everything that reads a provider's bytes, until one is not taken as promised."""
    if replay:
        _replay(replay)
        return
    installed = importlib.util.find_spec("atheris") is not None
    if engine is Engine.ATHERIS and not installed:
        raise typer.BadParameter("atheris is not installed: pip install -r tests/fuzz/requirements.txt")
    if not installed and engine is None:
        _console().print("atheris is not installed: the plain loop, not guided by coverage")
    findings = folder / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    seconds = seconds or (None if bodies else 30)
    if engine is Engine.LOOP or not installed:
        _loop(bodies, seconds, seed, findings)
    else:
        _guided(bodies, seconds, seed, folder, findings)


def _loop(bodies: int | None, seconds: int | None, seed: int, findings: Path) -> None:
    tally, began = loop.Tally(), time.monotonic()
    try:
        loop.run(tally, seed, _limit(tally, bodies, began + seconds if seconds else None))
    except loop.MisjudgedError as found:
        _show(tally, began, seed)
        finding = findings / f"crash-{hashlib.sha1(found.body, usedforsecurity=False).hexdigest()}"
        finding.write_bytes(found.body)
        _end(found.__cause__, finding)
    _show(tally, began, seed)


def _limit(tally: loop.Tally, bodies: int | None, until: float | None) -> Callable[[], bool]:
    return lambda: (bodies is None or tally.bodies < bodies) and (until is None or time.monotonic() < until)


def _guided(bodies: int | None, seconds: int | None, seed: int, folder: Path, findings: Path) -> None:
    before = set(findings.iterdir())
    try:
        figures = atheris_run.run(folder, seed, seconds, bodies)
    except atheris_run.FoundError as found:
        _console().print(str(found), markup=False)
        for finding in sorted(set(findings.iterdir()) - before):
            _console().print(f"[red]found[/] {finding}; judge it again: {REPLAY} {finding}")
        raise typer.Exit(1) from None
    _console().print(", ".join(f"{name.replace('_', ' ')} {figure:,}" for name, figure in figures.items()))


def _replay(path: Path) -> None:
    tally = loop.Tally()
    try:
        tally.add(path.read_bytes())
        tally.finish()
    except loop.MisjudgedError as found:
        _end(found.__cause__, path)
    _console().print(f"{path} is taken as promised: " + ", ".join(f"{who} {what}" for who, what in tally.outcomes))


def _end(cause: BaseException | None, finding: Path) -> NoReturn:
    _console().print("".join(traceback.format_exception(cause)), markup=False)
    _console().print(f"[red]found[/] {finding}; judge it again: {REPLAY} {finding}")
    raise typer.Exit(1)


def _show(tally: loop.Tally, began: float, seed: int) -> None:
    seconds = time.monotonic() - began
    _console().print(f"{tally.bodies:,} bodies of seed {seed}, each at every provider, in {seconds:.0f} s; of each provider:")
    for (provider, outcome), number in sorted(tally.outcomes.items()):
        _console().print(f"  {provider:10} {outcome:14} {number:>10,}")


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app()
