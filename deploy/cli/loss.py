"""`curbside loss`: acknowledged events that Valkey has lost, and a person's confirmation."""

from datetime import UTC, datetime
from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.output import print_json, print_table
from deploy.errors import CommandError

if TYPE_CHECKING:
    from workers.ledger.inbox_marks import Loss

_COLUMNS = ("found", "what", "confirmed", "by", "note")


def loss(
    confirm: Annotated[
        str | None,
        typer.Option("--confirm", metavar="NOTE", help="Confirm all of them. The note, your name and the time are kept."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List losses: acknowledged events that are gone because Valkey was emptied, replaced, or went back to an older state.

    Numbers are "at least": what came after the last look, two seconds before at the most, cannot be counted. Ask the providers to
    send again what they sent in that time: an event that was applied before is dropped as a duplicate. Then confirm: until
    then `curbside status` is red.

    Example: curbside loss --confirm "failover on Monday; Instacart has sent again"
    """
    from deploy.deployment import open_deployment  # noqa: PLC0415 - quick start
    from workers.monitoring.inbox_losses import read_losses  # noqa: PLC0415 - quick start

    if confirm is not None and not confirm.strip():
        raise CommandError("--confirm is empty: give a note, for those who read the record later.")
    with open_deployment() as deployment:
        if confirm is not None:
            from workers.monitoring.loss_watch import confirm_all  # noqa: PLC0415 - quick start

            count = confirm_all(deployment.client, deployment.ledger, getuser(), confirm)
            typer.echo(f"{count} {'loss is' if count == 1 else 'losses are'} confirmed.")
            return
        found = read_losses(deployment.client, deployment.ledger, datetime.now(UTC))
    if as_json:
        import msgspec  # noqa: PLC0415 - quick start

        print_json([msgspec.to_builtins(each, builtin_types=()) for each in found])
    elif not found:
        typer.echo("No loss is known.")
    else:
        print_table(_COLUMNS, [_row(each) for each in found])


def _row(loss: "Loss") -> tuple[str, ...]:
    from workers.monitoring.inbox_losses import text_of  # noqa: PLC0415 - quick start

    confirmed = f"{loss.confirmed_at:%Y-%m-%d %H:%M:%S}" if loss.confirmed_at else "-"
    return (f"{loss.found_at:%Y-%m-%d %H:%M:%S}", text_of(loss), confirmed, loss.confirmed_by or "-", loss.note or "-")
