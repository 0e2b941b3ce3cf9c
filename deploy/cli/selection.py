"""Which failures a command applies to: the options that `failed`, `retry` and `discard` share."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from deploy.deployment import Deployment
from deploy.errors import NOT_DONE, CommandError
from schemas.failures import Failure, FailureState, Reason
from schemas.keys import DISPATCH, names_of_handler
from schemas.parsing.durations import milliseconds, read_duration

HandlerOption = Annotated[str | None, typer.Option("--handler", help="Only this handler (`dispatch`: undecodable bodies).")]
ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", metavar="REASON", help=f"Only this reason: {', '.join(Reason)}, or one of a newer release."),
]
ProviderOption = Annotated[str | None, typer.Option("--provider", help="Only this provider.")]
OrderOption = Annotated[str | None, typer.Option("--order", help="Only this order.")]
StateOption = Annotated[
    str | None, typer.Option("--state", metavar="STATE", help=f"Only this state: {', '.join(FailureState)}.")
]
YoungerOption = Annotated[str | None, typer.Option("--since", help="Only if the last failure is at most this old: 2h.")]


@dataclass(frozen=True)
class Selection:
    """Selects the failures that match every field that is given."""

    handler: str | None = None
    reason: str | None = None
    provider: str | None = None
    order: str | None = None
    state: str | None = None
    since: str | None = None

    def __bool__(self) -> bool:
        """Whether any field is given."""
        return any(value is not None for value in vars(self).values())

    def of(self, failures: Iterable[Failure]) -> list[Failure]:
        """Return the failures that match, the newest last. Raises `CommandError` if there is no such reason or state."""
        earliest, failures = self.earliest_ms(), list(failures)
        _check("--reason", self.reason, Reason, {each.reason for each in failures})
        _check("--state", self.state, FailureState, {each.state for each in failures})
        return sorted(
            (
                each
                for each in failures
                if (self.handler is None or each.handler in names_of_handler(self.handler))
                and self.reason in (None, each.reason)
                and self.provider in (None, each.provider)
                and (self.order is None or self.order in each.order_ids)
                and self.state in (None, each.state)
                and each.last_at_ms >= earliest
            ),
            key=lambda each: (each.last_at_ms, each.field),
        )

    def earliest_ms(self) -> int:
        """The earliest last failure that `since` allows, in ms since the epoch. Raises `CommandError` if it is no duration."""
        try:
            return int(time.time() * 1000) - milliseconds(read_duration(self.since)) if self.since else 0
        except ValueError as error:
            raise CommandError(f"--since {self.since}: {error}.") from error


def _check(option: str, value: str | None, known: type[Reason | FailureState], on_record: Iterable[str]) -> None:
    """Raise `CommandError` for a text that neither this release knows nor any record has."""
    if value is not None and value not in {*known, *on_record}:
        raise CommandError(f"{option} {value}: no failure has it; there are {', '.join(known)}.")


def select_failures(deployment: Deployment, ids: list[str], selection: Selection, everything: bool) -> list[Failure]:
    """Return the failures named by id (`refunds:1732230000000-0`, or an event's id for all of its), or those that match."""
    if bool(ids) + bool(selection or everything) != 1:
        raise CommandError("Name failures by ID, or select them with --handler, --reason, … or --all.")
    selection.earliest_ms()
    if not ids:
        return [each for each in selection.of(deployment.failures.all()) if each.state is not FailureState.DISCARDED]
    found = {name: list(find_failures(deployment, name)) for name in dict.fromkeys(ids)}
    if missing := [name for name, failures in found.items() if not failures]:
        raise CommandError(f"No failure {', '.join(missing)}: see `curbside failed --each`.", NOT_DONE)
    return list({each.field: each for failures in found.values() for each in failures}.values())


def find_failures(deployment: Deployment, name: str) -> Iterator[Failure]:
    """Yield the failure with this id, or all failures of the event with this id."""
    from workers.errors import FailureNotFoundError  # noqa: PLC0415 - quick start
    from workers.valkey.handler_names import handlers_on_record  # noqa: PLC0415 - quick start

    handler, colon, event_id = name.rpartition(":")
    known = [DISPATCH, *(each.name for each in deployment.handlers)]
    for each in [handler] if colon else handlers_on_record(deployment.client, known):
        try:
            yield deployment.failures.get(each, event_id)
        except FailureNotFoundError:
            continue


def confirm(what: str, yes: bool) -> bool:
    """Whether the operator confirms. Without a terminal the answer is no."""
    from deploy.cli.output import print_error  # noqa: PLC0415 - quick start

    if yes:
        return True
    if not sys.stdin.isatty():
        print_error(f"{what} There is no terminal to confirm in: use --yes.")
        return False
    return typer.confirm(what, err=True)


def apply_to_each(failures: list[Failure], change: Callable[[Failure], None], what: str) -> dict[str, str]:
    """Change each failure, with a progress bar in a terminal. Returns the reason, by id, for each that could not be changed."""
    from rich.console import Console  # noqa: PLC0415 - quick start
    from rich.progress import track  # noqa: PLC0415 - quick start

    from workers.errors import FailureNotFoundError  # noqa: PLC0415 - quick start

    refused: dict[str, str] = {}
    terminal = Console(stderr=True)
    for failure in track(failures, what, console=terminal, disable=not terminal.is_terminal or len(failures) < 2):
        try:
            change(failure)
        except FailureNotFoundError as error:
            refused[failure.field] = str(error)
    return refused


def report(found: list[Failure], refused: dict[str, str], what: str, as_json: bool) -> None:
    """Print how many failures were changed, and why others were not. Exits with 1 if any was not."""
    from deploy.cli.output import print_error, print_json  # noqa: PLC0415 - quick start

    done = len(found) - len(refused)
    if as_json:
        print_json({"chosen": len(found), "done": done, "refused": refused})
    else:
        typer.echo(f"{done} of {len(found)} {what}" if found else "nothing to do: no failure matches")
        for why in refused.values():
            print_error(f"not done: {why}")
    if refused:
        raise typer.Exit(NOT_DONE)


def format_time(epoch_ms: int) -> str:
    """Format a time for people, in UTC; `-` for 0."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if epoch_ms else "-"
