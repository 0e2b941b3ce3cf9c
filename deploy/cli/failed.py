"""`curbside failed`: what failed, why, and what it was."""

from collections import defaultdict
from typing import Annotated, Any

import typer

from deploy.cli.output import print_json, print_table
from deploy.cli.selection import (
    HandlerOption,
    OrderOption,
    ProviderOption,
    ReasonOption,
    Selection,
    StateOption,
    YoungerOption,
    when,
)
from deploy.errors import NOT_DONE, CommandError
from schemas.failures import Failure

app = typer.Typer(invoke_without_command=True)


@app.callback()
def failed(
    context: typer.Context,
    handler: HandlerOption = None,
    reason: ReasonOption = None,
    provider: ProviderOption = None,
    order: OrderOption = None,
    state: StateOption = None,
    since: YoungerOption = None,
    each: Annotated[bool, typer.Option("--each", help="List each failure, not groups of one cause.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what failed, grouped by cause with the counts first: one bug makes a thousand failures.

    Exit code 0 whether or not anything failed; with --json, an empty list says that nothing did.

    Examples: curbside failed --handler refunds   ·   curbside failed --each --since 1h   ·   curbside failed show refunds:1732-0
    """
    if context.invoked_subcommand is not None:
        return
    from deploy.cli.deployment import open_deployment  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        found = Selection(handler, reason, provider, order, state, since).of(deployment.failures.all())
    rows = [_one(failure) for failure in found] if each else _groups(found)
    if as_json:
        print_json(rows)
    elif not rows:
        typer.echo("nothing failed")
    else:
        print_table(tuple(rows[0]), [tuple(str(value) for value in row.values()) for row in rows])


@app.command()
def show(
    failure_id: Annotated[str, typer.Argument(metavar="ID", help="As `curbside failed --each` lists it: refunds:1732-0.")],
    unmask: Annotated[bool, typer.Option("--unmask", help="Show personal data too, and the text of the error.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show one failure: reason, traceback, body. Personal data is masked unless --unmask is given.

    Example: curbside failed show refunds:1732230000000-0
    """
    from deploy.cli.deployment import open_deployment  # noqa: PLC0415 - quick start
    from workers.failures import NotFailed  # noqa: PLC0415 - quick start

    handler, _, event_id = failure_id.rpartition(":")
    with open_deployment() as deployment:
        try:
            details = _details(deployment.failures.get(handler, event_id), unmask)
        except NotFailed as error:
            raise CommandError(f"{error}.", NOT_DONE) from error
    if as_json:
        print_json(details)
        return
    for name, value in details.items():
        typer.echo(f"{name}:\n{value}" if "\n" in str(value) else f"{name}: {value}")


def _groups(failures: list[Failure]) -> list[dict[str, Any]]:
    """One row for each cause, the most frequent first."""
    groups: dict[tuple[str, str, str], list[Failure]] = defaultdict(list)
    for failure in failures:
        groups[failure.handler, failure.reason.value, failure.state.value].append(failure)
    return [
        {
            "count": len(group),
            "handler": handler,
            "reason": reason,
            "state": state,
            "first": when(min(failure.first_at_ms for failure in group)),
            "last": when(max(failure.last_at_ms for failure in group)),
            "for example": group[-1].field,
        }
        for (handler, reason, state), group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _one(failure: Failure) -> dict[str, Any]:
    return {
        "id": failure.field,
        "reason": failure.reason.value,
        "state": failure.state.value,
        "attempts": failure.attempts,
        "provider": failure.provider,
        "orders": ",".join(failure.order_ids),
        "last": when(failure.last_at_ms),
        "next": when(failure.next_at_ms),
    }


def _details(failure: Failure, unmask: bool) -> dict[str, Any]:
    from schemas.masking import masked  # noqa: PLC0415 - quick start
    from workers.blame import scrubbed  # noqa: PLC0415 - quick start

    return {
        **_one(failure),
        "first": when(failure.first_at_ms),
        "kind": failure.kind or "-",
        "task": failure.task_id or "-",
        "note": failure.note or "-",
        "message": failure.message if unmask else scrubbed(failure).message,
        "traceback": (failure.traceback if unmask else scrubbed(failure).traceback) or "-",
        "body": failure.body.decode("utf-8", "backslashreplace") if unmask else masked(failure.body),
    }
