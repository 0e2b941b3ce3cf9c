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
    report,
)
from deploy.errors import NOT_DONE, CommandError
from schemas.failures import Failure

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="As `curbside failed --each` lists them, or event ids.")]
All = Annotated[bool, typer.Option("--all", help="All that failed.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def retry(
    ids: Ids = None,
    handler: HandlerOption = None,
    reason: ReasonOption = None,
    provider: ProviderOption = None,
    order: OrderOption = None,
    since: YoungerOption = None,
    everything: All = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Try failures again, now: each becomes a new task in Flower. Asks first, with the count.

    What was discarded is tried again only by its ID. Exit code 1 if one could not be retried, or if you said no.

    Examples: curbside retry refunds:1732230000000-0   ·   curbside retry --reason handler_error --handler refunds --yes
    """
    from deploy.cli.deployment import open_deployment  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        found = chosen(deployment, ids or [], Selection(handler, reason, provider, order, None, since), everything)
        if found and not confirmed(f"Retry {_failures(found)}?", yes):
            raise typer.Exit(NOT_DONE)
        failures, now_ms = deployment.failures, int(time.time() * 1000)

        def revive(failure: Failure) -> None:
            failures.revive(failure.handler, failure.event_id, now_ms)

        refused = for_each(found, revive, "retrying")
    report(found, refused, "are being retried: see `curbside failed`, or Flower", as_json)


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
    as_json: AsJson = False,
) -> None:
    """Decide that failures are not to be applied. The record stays, with your note; `curbside retry ID` brings one back.

    Exit code 1 if one could not be discarded, or if you said no.

    Example: curbside discard --note "test orders" drain:1732230000000-0
    """
    from deploy.cli.deployment import open_deployment  # noqa: PLC0415 - quick start

    if not note.strip():
        raise CommandError("--note: say why, for whoever looks at it later.")
    with open_deployment() as deployment:
        found = chosen(deployment, ids or [], Selection(handler, reason, provider, order, None, since), everything)
        if found and not confirmed(f"Discard {_failures(found)}?", yes):
            raise typer.Exit(NOT_DONE)
        failures = deployment.failures

        def let_go(failure: Failure) -> None:
            failures.discard(failure.handler, failure.event_id, note)

        refused = for_each(found, let_go, "discarding")
    report(found, refused, "are discarded", as_json)


def _failures(found: list[Failure]) -> str:
    causes = sorted({f"{each.handler}: {each.reason}" for each in found})
    return f"{len(found)} failure{'s' if len(found) > 1 else ''} ({', '.join(causes[:5])}{', …' if len(causes) > 5 else ''})"
