"""`curbside replay`: events of the inbox go through handlers again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from deploy.errors import NOT_DONE, CommandError
from schemas.events import Kind, Provider
from schemas.parsing.durations import read_duration

CAUTIOUS_EVENTS_PER_SECOND = 2_000
"""For saying how long it takes; `make bench` measures what your machine does."""


def replay(
    since: Annotated[str, typer.Option("--since", help="Received from then on: 2026-11-22T08:00, or 2h ago.")],
    until: Annotated[str | None, typer.Option("--until", help="Received before then (default: now).")] = None,
    kind: Annotated[list[Kind] | None, typer.Option("--kind", help="Only this kind; may be repeated.")] = None,
    provider: Annotated[list[Provider] | None, typer.Option("--provider", help="Only this provider's.")] = None,
    order: Annotated[list[str] | None, typer.Option("--order", help="Only this order's; may be repeated.")] = None,
    handler: Annotated[list[str] | None, typer.Option("--handler", help="Only through this one; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send events that are still in the inbox (INBOX_RETENTION) through handlers again. Effects stay single.

    For a handler added later, or a mistake that was applied and not refused; what failed is for `curbside retry`.
    Duplicates, and what the dispatcher has not looked at yet, are left alone. Times without a zone are UTC.
    Exit code 1 if you said no.

    Examples: curbside replay --since 2h --kind order_item_refund --dry-run   ·   curbside replay --since 2026-11-22 --handler loyalty
    """
    from deploy.cli.deployment import open_deployment  # noqa: PLC0415 - quick start
    from deploy.cli.output import print_json  # noqa: PLC0415 - quick start
    from deploy.cli.selection import confirmed  # noqa: PLC0415 - quick start
    from workers.replay import Replay, ReplayFilter  # noqa: PLC0415 - quick start

    wanted = ReplayFilter(
        _time(since, "--since"),
        _time(until, "--until") if until else datetime.now(UTC),
        frozenset(kind or ()),
        frozenset(provider or ()),
        frozenset(order or ()),
    )
    if wanted.until is not None and wanted.until <= wanted.since:
        raise CommandError("--until is not after --since: there is nothing between them.")
    with open_deployment() as deployment:
        names = [each.name for each in deployment.handlers]
        if unknown := [each for each in handler or () if each not in names]:
            raise CommandError(f"--handler {unknown[0]}: there is no such handler; there are {', '.join(names)}.")
        replay_of = Replay(deployment.client, deployment.settings, deployment.handlers, handler or ())
        count = replay_of.count(wanted)
        said = {"events": count, "handlers": handler or names, "seconds": max(1, count // CAUTIOUS_EVENTS_PER_SECOND)}
        if not as_json:
            typer.echo(f"{count} events to {', '.join(handler or names)}: about {said['seconds']} s of work for one worker")
        if count and not dry_run:
            if not confirmed(f"Replay {count} events?", yes):
                raise typer.Exit(NOT_DONE)
            with _progress(count) as advance:
                replayed = replay_of.run(wanted, advance)
            said |= {"replayed": replayed.events, "claim_checks": replayed.claim_checks}
            if not as_json:
                typer.echo(f"{replayed.events} are on their way, {replayed.claim_checks} times in all: see `curbside status`")
    if as_json:
        print_json(said)


@contextmanager
def _progress(count: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, in a terminal; gives what moves it on."""
    from rich.console import Console  # noqa: PLC0415 - quick start
    from rich.progress import Progress  # noqa: PLC0415 - quick start

    screen = Console(stderr=True)
    with Progress(console=screen, disable=not screen.is_terminal) as progress:
        bar = progress.add_task("replaying", total=count)
        yield lambda done: progress.advance(bar, done)


def _time(text: str, option: str) -> datetime:
    """A time, or a duration ago."""
    try:
        return datetime.now(UTC) - read_duration(text)
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{option} {text}: expected a time such as 2026-11-22T08:00, or a duration such as 2h.") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
