"""The command line: `python -m tests.chaos --help`."""

from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status

from tests.chaos import network_faults, postgresql_faults, process_faults, valkey_faults, work_faults
from tests.chaos.kinds import KINDS
from tests.chaos.options import Options
from tests.chaos.report import print_verdict, progress_line
from tests.chaos.run import Progress, run
from tests.chaos.servers import ServerError

REGISTERED = (network_faults, postgresql_faults, process_faults, valkey_faults, work_faults)
console = Console(highlight=False, soft_wrap=True)
app = typer.Typer(add_completion=False, help=__doc__)
_DEFAULT = Options()
_LINE_EVERY_SECONDS = 30


def _list_kinds(wanted: bool) -> None:
    if wanted:
        for name, kind in sorted(KINDS.items()):
            console.print(f"{name:32} {kind.about}", markup=False)
        raise typer.Exit


def _show(options: Options, progress: Progress, status: Status) -> None:
    """Show the progress: in one line of a terminal, or as a line twice a minute."""
    status.update(line := progress_line(options, progress))
    if not console.is_terminal and progress.seconds % _LINE_EVERY_SECONDS < 1:
        console.print(line)


def _names(wanted: list[str]) -> tuple[str, ...]:
    """The kinds of these names; of a part of a name all that have it."""
    named = [[each] if each in KINDS else [name for name in KINDS if each in name] for each in wanted]
    if unknown := [each for each, names in zip(wanted, named, strict=True) if not names]:
        raise typer.BadParameter(f"no kind of fault is called {', '.join(unknown)}: see --list-kinds")
    return tuple(sorted({name for names in named for name in names}))


@app.command()
def main(
    seconds: Annotated[float, typer.Option(min=5, help="How long the load lasts.")] = _DEFAULT.seconds,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed sends the same orders, and makes the same faults.")
    ] = _DEFAULT.seed,
    faults: Annotated[int, typer.Option(min=0, help="How many at the most; sometimes two at once.")] = _DEFAULT.faults,
    rate: Annotated[float, typer.Option(min=1, help="Posts a second.")] = _DEFAULT.rate,
    kinds: Annotated[
        str, typer.Option(help="Only these kinds of fault, separated by commas; a part of a name is enough.")
    ] = "",
    server: Annotated[str, typer.Option(help="valkey, or redis: Debian's redis-server.")] = _DEFAULT.server,
    database: Annotated[str, typer.Option(help="postgresql or sqlite.")] = _DEFAULT.database,
    previous: Annotated[str, typer.Option(help="The commit of the fault previous-commit.")] = _DEFAULT.previous,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds to wait, after the load, until nothing waits.")
    ] = _DEFAULT.patience,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data and the logs.")] = False,
    list_kinds: Annotated[
        bool, typer.Option("--list-kinds", callback=_list_kinds, is_eager=True, help="List all kinds.")
    ] = False,
) -> None:
    """Run a deployment of its own under load and faults, and compare from outside what it did with what it had to do.

    Two ingresses, two urgent and two bulk workers, Valkey, PostgreSQL, a receiver of alerts. Ctrl-C ends it with the verdict on what
    happened so far. Exit code 1 if anything is wrong.
    """
    wanted = [each.strip() for each in kinds.split(",") if each.strip()]
    options = Options(seconds, seed, faults, rate, _names(wanted), server, database, previous, patience, keep)
    say = console.print
    try:
        with console.status("starting") as status:
            verdict = run(options, say, lambda progress: _show(options, progress, status))
    except ServerError as error:
        raise typer.BadParameter(str(error)) from error
    print_verdict(console, options, verdict)
    if verdict.findings:
        raise typer.Exit(1)
    console.print("all that must hold did")


if __name__ == "__main__":
    app()
