"""Which failures a command is about: the options that `failed`, `retry` and `discard` share."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from deploy.cli.deployment import Deployment
from deploy.errors import NOT_DONE, CommandError
from schemas.durations import milliseconds, read_duration
from schemas.failures import Failure, FailureState, Reason

HandlerOption = Annotated[str | None, typer.Option("--handler", help="Only this handler's (`drain`: undecodable bodies).")]
ReasonOption = Annotated[Reason | None, typer.Option("--reason", help="Only these.")]
ProviderOption = Annotated[str | None, typer.Option("--provider", help="Only this provider's.")]
OrderOption = Annotated[str | None, typer.Option("--order", help="Only this order's.")]
StateOption = Annotated[FailureState | None, typer.Option("--state", help="Only those in this state.")]
YoungerOption = Annotated[str | None, typer.Option("--since", help="Only those that failed last within this time: 2h.")]


@dataclass(frozen=True)
class Selection:
    """Failures that fit all that is given."""

    handler: str | None = None
    reason: Reason | None = None
    provider: str | None = None
    order: str | None = None
    state: FailureState | None = None
    since: str | None = None

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return any(value is not None for value in vars(self).values())

    def of(self, failures: Iterable[Failure]) -> list[Failure]:
        """The ones that fit, newest last."""
        try:
            earliest = int(time.time() * 1000) - milliseconds(read_duration(self.since)) if self.since else 0
        except ValueError as error:
            raise CommandError(f"--since: {error}.") from error
        return sorted(
            (
                each
                for each in failures
                if self.handler in (None, each.handler)
                and self.reason in (None, each.reason)
                and self.provider in (None, each.provider)
                and (self.order is None or self.order in each.order_ids)
                and self.state in (None, each.state)
                and each.last_at_ms >= earliest
            ),
            key=lambda each: (each.last_at_ms, each.field),
        )


def chosen(deployment: Deployment, ids: list[str], selection: Selection, everything: bool) -> list[Failure]:
    """The failures named by id (`refunds:1732230000000-0`, or an event's id for all of its), or those that fit."""
    if bool(ids) + bool(selection or everything) != 1:
        raise CommandError("Name failures by ID, or choose them by --handler, --reason, … or --all.")
    if not ids:
        return [each for each in selection.of(deployment.failures.all()) if each.state is not FailureState.DISCARDED]
    found = [each for each in deployment.failures.all() if each.field in ids or each.event_id in ids]
    named = {name for each in found for name in (each.field, each.event_id)}
    if missing := [each for each in ids if each not in named]:
        raise CommandError(f"No failure is on record under {', '.join(missing)}: see `curbside failed --each`.", NOT_DONE)
    return found


def confirmed(what: str, yes: bool) -> bool:
    """Whether a person says yes; in a pipe there is nobody to ask."""
    return yes or typer.confirm(what)


def for_each(failures: list[Failure], change: Callable[[Failure], None], what: str) -> int:
    """Do it to each, with a progress bar; returns for how many it could be done. Says why not for the others."""
    from rich.progress import track  # noqa: PLC0415 - quick start

    from deploy.cli.output import complain, console  # noqa: PLC0415 - quick start
    from workers.failures import NotFailed  # noqa: PLC0415 - quick start

    done, screen = 0, console()
    for failure in track(failures, what, console=screen, disable=not screen.is_terminal or len(failures) < 2):
        try:
            change(failure)
        except NotFailed as error:
            complain(f"{failure.field}: {error}")
        else:
            done += 1
    return done


def when(epoch_ms: int) -> str:
    """A time for people, in UTC."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if epoch_ms else "-"
