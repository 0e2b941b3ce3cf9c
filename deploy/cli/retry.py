"""`curbside retry` and `curbside discard`: an operator's decisions about failures."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.output import print_error
from deploy.cli.selection import (
    HandlerOption,
    OrderOption,
    ProviderOption,
    ReasonOption,
    Selection,
    YoungerOption,
    apply_to_each,
    confirm,
    report,
    select_failures,
)
from deploy.errors import NOT_DONE, CommandError
from schemas.failures import Failure
from schemas.keys import DISPATCH_NAMES
from schemas.sanitizing import sanitize

if TYPE_CHECKING:
    from workers.failures.failure_store import FailureStore

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids from `curbside failed --each`, or event ids.")]
All = Annotated[bool, typer.Option("--all", help="All failures.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
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
    """Retry failures now. Each becomes a new task in Flower. Asks for confirmation first.

    Discarded failures are retried only by their ID. Exit code 1 if a failure could not be retried, or if you answered no.

    Examples: curbside retry refunds:1732230000000-0   ·   curbside retry --reason handler_error --handler refunds --yes
    """
    now_ms = int(time.time() * 1000)

    def retry_one(failures: "FailureStore", failure: Failure) -> None:
        failures.retry(failure.handler, failure.event_id, now_ms)

    selection = Selection(handler, reason, provider, order, None, since)
    found, refused = _apply("Retry", retry_one, ids or [], selection, everything=everything, yes=yes)
    report(found, refused, "are being retried: see `curbside failed`, or Flower", as_json)


def discard(
    note: Annotated[str, typer.Option("--note", help="Why; kept with the failure.")],
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
    """Discard failures: their events are not applied. The record stays, with your note; `curbside retry ID` retries one later.

    Exit code 1 if a failure could not be discarded, or if you answered no.

    Example: curbside discard --note "test orders" dispatch:1732230000000-0
    """
    if not note.strip():
        raise CommandError("--note is empty: give the reason, for those who read the record later.")

    def discard_one(failures: "FailureStore", failure: Failure) -> None:
        failures.discard(failure.handler, failure.event_id, note)

    selection = Selection(handler, reason, provider, order, None, since)
    found, refused = _apply("Discard", discard_one, ids or [], selection, everything=everything, yes=yes)
    report(found, refused, "are discarded", as_json)


def _apply(
    verb: str,
    change: "Callable[[FailureStore, Failure], None]",
    ids: list[str],
    selection: Selection,
    *,
    everything: bool,
    yes: bool,
) -> tuple[list[Failure], dict[str, str]]:
    """Ask, then change each selected failure. Returns the selected failures, and by id why some could not be changed."""
    from deploy.deployment import open_deployment  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        found, failures = select_failures(deployment, ids, selection, everything), deployment.failures
        if found and not confirm(f"{verb} {_failures(found)}?", yes):
            raise typer.Exit(NOT_DONE)
        refused = apply_to_each(found, lambda each: change(failures, each), f"{verb.lower()}ing")
        known = {*DISPATCH_NAMES, *(each.name for each in deployment.handlers)}
        for name in sorted({each.handler for each in found if each.field not in refused} - known):
            print_error(
                f"{sanitize(name)}: no handler of this name here (HANDLER_MODULES): only a worker that has it retries it"
            )
        return found, refused


def _failures(found: list[Failure]) -> str:
    causes = sorted({f"{each.handler}: {each.reason}" for each in found})
    return f"{len(found)} failure{'s' if len(found) > 1 else ''} ({', '.join(causes[:5])}{', …' if len(causes) > 5 else ''})"
