"""`curbside status`: the number of events at every stage, and whether the sums hold."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.output import format_age, print_error, print_json, print_table
from deploy.cli.refused import print_refused
from deploy.errors import NOT_DONE
from schemas.sanitizing import sanitize

if TYPE_CHECKING:
    from workers.monitoring.outbox_status import OutboxStatus
    from workers.monitoring.status import Status


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Print again every second, until Ctrl-C.")] = False,
) -> None:
    """Count the events at every stage and handler: waiting, applied, failed, and the age of the oldest.

    Checks two sums: received = duplicate + routed + undecodable + waiting, and for each handler
    routed = applied + failed + waiting. Exit code 1 if one does not hold, or if acknowledged events were lost and nobody has
    confirmed that: see `curbside loss`.

    Also counts the requests that the ingress refused, and explains those of the last minutes.

    Example: curbside status --json
    """
    from deploy.deployment import open_deployment  # noqa: PLC0415 - quick start
    from workers.monitoring.status import read_status  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        names = [each.name for each in deployment.handlers]
        while True:
            found = read_status(deployment.client, deployment.ledger, names)
            if as_json:
                print_json(_plain(found))
            else:
                print_status(found)
            if not watch:
                break
            time.sleep(1)
    if found.losses:
        raise typer.Exit(NOT_DONE)
    if not found.balanced:
        print_error("A sum does not hold: an event has no outcome, or more than one. Please report this bug.")
        raise typer.Exit(NOT_DONE)


def print_status(found: "Status") -> None:
    """Print a status for people."""
    inbox = found.inbox
    print_table(
        ("inbox", "received", "duplicate", "routed", "undecodable", "waiting", "not taken", "oldest"),
        [
            (
                "",
                *map(str, (inbox.received, inbox.duplicate, inbox.routed, inbox.undecodable, inbox.waiting, inbox.lag)),
                format_age(inbox.oldest_age_seconds),
            )
        ],
    )
    print_table(
        ("handler", "routed", "applied", "failed", "waiting", "not taken", "oldest"),
        [
            (
                name,
                *map(str, (each.routed, each.applied, each.failed, each.waiting, each.lag)),
                format_age(each.oldest_age_seconds),
            )
            for name, each in found.handlers.items()
        ],
    )
    if found.outbox is not None:
        _print_alerts(found.outbox)
    _print_notes(found)
    print_refused(found.refused)
    _print_troubles(found)
    typer.echo("the sums hold" if found.balanced else "the sums do NOT hold")


def _print_alerts(alerts: "OutboxStatus") -> None:
    print_table(
        ("alerts", "sent", "too old", "waiting", "failing", "oldest"),
        [
            (
                "",
                *map(str, (alerts.sent, alerts.too_old, alerts.waiting, alerts.failing)),
                format_age(alerts.oldest_age_seconds),
            )
        ],
    )
    for each in alerts.held_up:
        print_error(
            f"alerts through {each.channel} wait ({each.waiting}, since {each.since:%Y-%m-%d %H:%M:%S} UTC): {each.error}"
        )


def _print_notes(found: "Status") -> None:
    """What is no trouble, or has a command of its own."""
    inbox = found.inbox
    if inbox.unrecognised:
        names = ", ".join(f"{name} ({count})" for name, count in inbox.unrecognised_names.items())
        typer.echo(f"unrecognised event names: {sanitize(names)}")
    if found.failures:
        typer.echo(f"{found.failures} failures on record: see `curbside failed`")
    if unknown := [sanitize(name) for name, each in found.handlers.items() if not each.known]:
        typer.echo(f"no handler of this name here (HANDLER_MODULES): {', '.join(unknown)}")
    if found.trimmed_early_to is not None:
        typer.echo(
            f"Valkey was nearly full: events received before {found.trimmed_early_to:%Y-%m-%d %H:%M:%S} UTC left the inbox early, "
            "and cannot be replayed"
        )


def _print_troubles(found: "Status") -> None:
    """What cannot be reached, and what was lost."""
    from workers.monitoring.inbox_losses import text_of  # noqa: PLC0415 - quick start

    for queue, what in found.unreachable.items():
        since = found.unreachable_since.get(queue)
        print_error(
            f"unreachable for {queue}: {what.rstrip(',')}" + (f", since {since:%Y-%m-%d %H:%M:%S} UTC" if since else "")
        )
    for loss in found.losses:
        print_error(f"{text_of(loss)}. See `curbside loss`.")
    if found.losses and found.inbox.reappended:
        print_error(f"Of lost events, an ingress has appended {found.inbox.reappended} again (all losses together).")


def _plain(found: "Status") -> object:
    import msgspec  # noqa: PLC0415 - quick start

    return msgspec.to_builtins(found, builtin_types=())
