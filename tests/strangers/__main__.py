"""The command line: `python -m tests.strangers --help`."""

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from tests.strangers import broken, idle

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
console = Console(highlight=False, soft_wrap=True)


@app.command("broken")
def broken_requests(
    requests: Annotated[int, typer.Option(min=1, help="How many.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed sends the same requests.")] = 1,
) -> None:
    """Send broken requests to an ingress of its own. Exit code 1 if a rule is violated."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("broken requests", total=requests)
        report = broken.run(requests, seed, lambda sent: progress.update(task, completed=sent))
    console.print(
        f"{report.sent:,} broken requests of seed {seed} in {report.seconds:.0f} s, beside {report.honest:,} honest posts"
    )
    answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(report.statuses.items()))
    console.print(f"answers: {answers}; without one: {report.unanswered:,}; stored: {report.stored:,}")
    console.print(f"memory of the ingress: {report.grown_mb:+.1f} MB")
    for violation in report.violations[:20]:
        console.print(f"does not hold: {violation}", markup=False)
    if report.violations:
        raise typer.Exit(1)
    console.print("all that must hold did")


@app.command("idle")
def idle_connections(
    connections: Annotated[int, typer.Option(min=1, help="How many.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=1, help="How long, the opening included.")] = 40,
) -> None:
    """Hold idle and half-open connections while measuring the answers to an honest provider."""
    report = idle.run(connections, seconds)
    console.print(
        f"{connections:,} idle or half-open connections, opened {report.opened:,} times; {report.posts:,} honest posts, "
        f"{report.refused} not acknowledged; p50 {report.p50_ms:.1f} ms, p99 {report.p99_ms:.1f} ms, worst {report.worst_ms:.1f} ms; "
        f"the ingress uses {report.resident_mb:.0f} MB"
    )


if __name__ == "__main__":
    app()
