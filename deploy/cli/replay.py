"""`curbside replay`: send events of the inbox through handlers again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.errors import NOT_DONE, CommandError
from schemas.events import Kind
from schemas.parsing.durations import read_duration
from schemas.sanitizing import sanitize

if TYPE_CHECKING:
    from collections import Counter

    from deploy.deployment import Deployment
    from workers.replay import LeftOut, ReplayFilter

CAUTIOUS_EVENTS_PER_SECOND = 2_000
"""A cautious rate, for the estimate of the duration. `make bench` measures the rate of a machine."""


def replay(
    since: Annotated[
        str, typer.Option("--since", help="Received since this time (2026-11-22T08:00), or within this duration (2h).")
    ],
    until: Annotated[str | None, typer.Option("--until", help="Received before this time (default: now).")] = None,
    kind: Annotated[list[Kind] | None, typer.Option("--kind", help="Only this kind; may be repeated.")] = None,
    provider: Annotated[list[str] | None, typer.Option("--provider", help="Only this provider; may be repeated.")] = None,
    order: Annotated[list[str] | None, typer.Option("--order", help="Only this order; may be repeated.")] = None,
    handler: Annotated[list[str] | None, typer.Option("--handler", help="Only to this handler; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the events.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send events that are still in the inbox (INBOX_RETENTION) through handlers again. Each effect still happens once.

    Use it for a handler that was added later, or after fixing a handler that applied events wrongly. For failures use
    `curbside retry`. Duplicates, events that wait already, and events of a provider or handler that PROVIDER_MODULES or
    HANDLER_MODULES does not name here are left out, and counted. Times without a zone are UTC.
    Exit code 1 if you answered no.

    Examples: curbside replay --since 2h --kind order_item_refund --dry-run   ·   curbside replay --since 3d --handler loyalty
    """
    from deploy.cli.output import print_json  # noqa: PLC0415 - quick start
    from deploy.deployment import open_deployment  # noqa: PLC0415 - quick start
    from schemas.contracts import CONTRACTS  # noqa: PLC0415 - quick start
    from workers.replay import ReplayFilter  # noqa: PLC0415 - quick start

    before = _time(until, "--until") if until else datetime.now(UTC)
    sets = (frozenset(kind or ()), frozenset(provider or ()), frozenset(order or ()))
    wanted = ReplayFilter(_time(since, "--since"), before, *sets)
    if before <= wanted.since:
        raise CommandError("--until is not after --since: no time lies between them.")
    with open_deployment() as deployment:
        if unknown := wanted.providers - CONTRACTS.keys():
            known = ", ".join(CONTRACTS)
            raise CommandError(f"--provider {min(unknown)}: there is no such provider (PROVIDER_MODULES); there are {known}.")
        result = _replay(deployment, wanted, handler or [], ask=None if dry_run else not yes, quiet=as_json)
    if as_json:
        print_json(result)


def _replay(
    deployment: "Deployment", wanted: "ReplayFilter", chosen: list[str], *, ask: bool | None, quiet: bool
) -> dict[str, Any]:
    """Count the events, and replay them unless `ask` is None; `ask` is whether to ask first. Returns what --json prints."""
    from deploy.cli.selection import confirm  # noqa: PLC0415 - quick start
    from workers.replay import Replay  # noqa: PLC0415 - quick start
    from workers.valkey.handler_names import handlers_on_record  # noqa: PLC0415 - quick start

    names = [each.name for each in deployment.handlers]
    if unknown := [each for each in chosen if each not in names]:
        raise CommandError(f"--handler {unknown[0]}: there is no such handler; there are {', '.join(names)}.")
    replay_of = Replay(deployment.client, deployment.settings, deployment.handlers, chosen)
    count = replay_of.count(wanted)
    seconds = max(1, count // CAUTIOUS_EVENTS_PER_SECOND)
    others = [] if chosen else handlers_on_record(deployment.client, names)[len(names) :]
    result = {"events": count, "handlers": chosen or names, "seconds": seconds, "unknown_handlers": others}
    if not quiet:
        typer.echo(f"{count} events to {', '.join(chosen or names)}: about {seconds} s of work for one worker")
        _print_reach(replay_of.reaches_back_to(), wanted.since)
        _print_left_out(replay_of.left_out, others)
    if not count or ask is None:
        return result | _plain(replay_of.left_out)
    if not confirm(f"Replay {count} events?", not ask):
        raise typer.Exit(NOT_DONE)
    counted = replay_of.left_out
    with _progress(count) as advance:
        replayed = replay_of.run(wanted, advance)
    if not quiet:
        typer.echo(f"{replayed.events} events sent to handlers as {replayed.claim_checks} claim checks: see `curbside status`")
        if replay_of.left_out != counted:
            _print_left_out(replay_of.left_out, others)
    return result | {"replayed": replayed.events, "claim_checks": replayed.claim_checks} | _plain(replay_of.left_out)


def _print_left_out(left_out: "Counter[LeftOut]", unknown_handlers: list[str]) -> None:
    """Print what is not replayed, and why."""
    for why, count in left_out.items():
        typer.echo(f"left out: {count} {why}")
    for name in unknown_handlers:
        typer.echo(f"left out: all events of {sanitize(name)}, since there is no handler of this name here (HANDLER_MODULES)")


def _print_reach(oldest: datetime | None, since: datetime) -> None:
    """Say so if the inbox does not reach back far enough."""
    if oldest is not None and oldest > since:
        typer.echo(f"the inbox reaches back to {oldest:%Y-%m-%d %H:%M:%S} UTC: what was received before is no longer in it")


def _plain(left_out: "Counter[LeftOut]") -> dict[str, dict[str, int]]:
    return {"left_out": {why.name.lower(): count for why, count in left_out.items()}}


@contextmanager
def _progress(count: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error, in a terminal. Yields the function that advances it."""
    from rich.console import Console  # noqa: PLC0415 - quick start
    from rich.progress import Progress  # noqa: PLC0415 - quick start

    terminal = Console(stderr=True)
    with Progress(console=terminal, disable=not terminal.is_terminal) as progress:
        bar = progress.add_task("replaying", total=count)
        yield lambda done: progress.advance(bar, done)


def _time(text: str, option: str) -> datetime:
    """Parse a time, or a duration before now."""
    try:
        return datetime.now(UTC) - read_duration(text)
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{option} {text}: expected a time such as 2026-11-22T08:00, or a duration such as 2h.") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
