"""`curbside retry` and `curbside discard`: what an operator decides about failures."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from workers.failures.failure_store import FailureStore

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
    now_ms = int(time.time() * 1000)

    def revive(failures: "FailureStore", failure: Failure) -> None:
        failures.retry(failure.handler, failure.event_id, now_ms)

    selection = Selection(handler, reason, provider, order, None, since)
    found, refused = _decide("Retry", revive, ids or [], selection, everything=everything, yes=yes)
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

    Example: curbside discard --note "test orders" dispatch:1732230000000-0
    """
    if not note.strip():
        raise CommandError("--note: say why, for whoever looks at it later.")

    def let_go(failures: "FailureStore", failure: Failure) -> None:
        failures.discard(failure.handler, failure.event_id, note)

    selection = Selection(handler, reason, provider, order, None, since)
    found, refused = _decide("Discard", let_go, ids or [], selection, everything=everything, yes=yes)
    report(found, refused, "are discarded", as_json)


def _decide(
    what: str,
    change: "Callable[[FailureStore, Failure], None]",
    ids: list[str],
    selection: Selection,
    *,
    everything: bool,
    yes: bool,
) -> tuple[list[Failure], dict[str, str]]:
    """Ask, and do it to each failure chosen. Returns what was chosen, and why it could not be done to some."""
    from deploy.cli.deployment import open_deployment  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        found, failures = chosen(deployment, ids, selection, everything), deployment.failures
        if found and not confirmed(f"{what} {_failures(found)}?", yes):
            raise typer.Exit(NOT_DONE)
        return found, for_each(found, lambda each: change(failures, each), f"{what.lower()}ing")


def _failures(found: list[Failure]) -> str:
    causes = sorted({f"{each.handler}: {each.reason}" for each in found})
    return f"{len(found)} failure{'s' if len(found) > 1 else ''} ({', '.join(causes[:5])}{', …' if len(causes) > 5 else ''})"
