"""`curbside order`: the history of an order, by the time that orders its events."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import print_error, print_json, print_table
from deploy.errors import NOT_DONE, CommandError
from schemas.sanitizing import sanitize

if TYPE_CHECKING:
    from workers.monitoring.order_history import Step

_HIDDEN = {"received_at", "identity", "kind", "name"}
"""Fields that have their own column, or are shown only with --json."""


def order(
    order_id: Annotated[str, typer.Argument(metavar="ORDER", help="The provider's id of the order, or of the delivery.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every field.")] = False,
) -> None:
    """Show an order's state, every event received for it, and what each event changed, by the provider's time.

    A time of receipt is marked as such: the event names no time. Where the provider's time cannot be right, both are shown.

    Exit code 1 if nothing was received for this order.

    Example: curbside order fc-104233
    """
    from deploy.deployment import open_deployment  # noqa: PLC0415 - quick start
    from workers.monitoring.order_history import read_order_history  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        found = read_order_history(deployment.ledger, deployment.client, order_id)
    if as_json:
        import msgspec  # noqa: PLC0415 - quick start

        print_json([msgspec.to_builtins(each) for each in found])
    if not found:
        raise CommandError(
            f"No event is known for order {order_id}. Was it sent? Does `curbside status` show events waiting?", NOT_DONE
        )
    if not as_json:
        for each in found:
            state = ", ".join(f"{name} {_text(value)}" for name, value in each.state.items())
            typer.echo(sanitize(f"{each.provider} order {each.order_id}: {state or 'nothing applied yet'}"))
            rows = [(_when(step), step.what, _summary(each.provider, step), step.event_id or "") for step in each.steps]
            print_table(("when (UTC)", "what", "details", "event"), rows)


def trace(
    order_id: Annotated[str, typer.Argument(metavar="ORDER")],
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Run `curbside order` under its name in release 0.1."""
    print_error("`curbside trace` is now `curbside order`. The old name is removed in the next release.")
    order(order_id, as_json)


def _when(step: "Step") -> str:
    """The time as sent; and the time by which it is sorted, if that is another or the body names none."""
    if not step.has_time:
        return f"{_text(step.ordered_at or step.at)} (time of receipt)"
    return f"{_text(step.at)} (sorted as {_text(step.ordered_at)})" if step.ordered_at else _text(step.at)


def _summary(provider: str, step: "Step") -> str:
    """Summarise a step in one line: the event's name first, the sender last."""
    details, request = step.details, step.request
    rest = [f"{name} {_text(value)}" for name, value in details.items() if name not in _HIDDEN]
    own = [f"{name.removeprefix(f'x-{provider}-')} {value}" for name, value in request.headers.items()][:1]
    peer = [f"peer {request.peer}"] if request.peer else []
    return ", ".join([*([details["name"]] if "name" in details else []), *rest, *own, *peer])


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return format(value, "f") if isinstance(value, Decimal) else str(value)
