"""`curbside retry` and `curbside discard`: what an operator decides about failures."""

import time
from typing import Annotated

import typer

from deploy.cli.selection import (
    HandlerOption,
    OrderOption,
    ProviderOption,
    ReasonOption,
    Selection,
    YoungerOption,
    chosen,
    confirmed,
    for_each,
)
from deploy.errors import NOT_DONE
from schemas.failures import Failure

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="As `curbside failed --each` lists them, or event ids.")
]
All = Annotated[bool, typer.Option("--all", help="All that failed.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def retry(
    ids: Ids = None,
    handler: HandlerOption = None,
    reason: ReasonOption = None,
    provider: ProviderOption = None,
    order: OrderOption = None,
    since: YoungerOption = None,
    everything: All = False,
    yes: Yes = False,
) -> None:
    """Try failures again, now: each becomes a new task in Flower. Asks first, with the count.

    Exit code 1 if one could not be retried, or if you said no.

    Examples: curbside retry refunds:1732230000000-0   ·   curbside retry --reason handler_error --handler refunds --yes
    """
    from deploy.cli.deployment import open_deployment  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        found = chosen(deployment, ids or [], Selection(handler, reason, provider, order, None, since), everything)
        if not found:
            typer.echo("nothing to retry")
            return
        if not confirmed(f"Retry {_failures(found)}?", yes):
            raise typer.Exit(NOT_DONE)
        failures, now_ms = deployment.failures, int(time.time() * 1000)

        def revive(failure: Failure) -> None:
            failures.revive(failure.handler, failure.event_id, now_ms)

        done = for_each(found, revive, "retrying")
    typer.echo(f"{done} of {len(found)} are being retried: see `curbside failed`, or Flower")
    if done < len(found):
        raise typer.Exit(NOT_DONE)


def discard(
    note: Annotated[str, typer.Option("--note", help="Why: kept with the record.")],
    ids: Ids = None,
    handler: HandlerOption = None,
    reason: ReasonOption = None,
    provider: ProviderOption = None,
    order: OrderOption = None,
    since: YoungerOption = None,
    everything: All = False,
    yes: Yes = False,
) -> None:
    """Decide that failures are not to be applied. The record stays, with your note; `curbside retry ID` brings one back.

    Exit code 1 if one could not be discarded, or if you said no.

    Example: curbside discard --note "test orders" drain:1732230000000-0
    """
    from deploy.cli.deployment import open_deployment  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        found = chosen(deployment, ids or [], Selection(handler, reason, provider, order, None, since), everything)
        if not found:
            typer.echo("nothing to discard")
            return
        if not confirmed(f"Discard {_failures(found)}?", yes):
            raise typer.Exit(NOT_DONE)
        failures = deployment.failures

        def let_go(failure: Failure) -> None:
            failures.discard(failure.handler, failure.event_id, note)

        done = for_each(found, let_go, "discarding")
    typer.echo(f"{done} of {len(found)} are discarded")
    if done < len(found):
        raise typer.Exit(NOT_DONE)


def _failures(found: list[Failure]) -> str:
    causes = sorted({f"{each.handler}: {each.reason}" for each in found})
    return f"{len(found)} failure{'s' if len(found) > 1 else ''} ({', '.join(causes[:5])}{', …' if len(causes) > 5 else ''})"
