"""`curbside order`: everything known of an order, in time order."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import complain, print_json, print_table
from deploy.errors import NOT_DONE, CommandError
from schemas.sanitizing import sanitize

if TYPE_CHECKING:
    from workers.monitoring.order_history import Step

_HIDDEN = {"received_at", "identity", "kind", "name"}
"""Shown in a column of their own, or only with --json."""


def order(
    order_id: Annotated[str, typer.Argument(metavar="ORDER", help="The provider's own id of the order (or of the delivery).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every column.")] = False,
) -> None:
    """Show everything known of an order: its state, every event, and what came of it, by the provider's time.

    Exit code 1 if no provider has sent anything about it.

    Example: curbside order fc-104233
    """
    from deploy.cli.deployment import open_deployment  # noqa: PLC0415 - quick start
    from workers.monitoring.order_history import read_order_history  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        found = read_order_history(deployment.ledger, deployment.client, order_id)
    if as_json:
        import msgspec  # noqa: PLC0415 - quick start

        print_json([msgspec.to_builtins(each) for each in found])
    if not found:
        raise CommandError(
            f"Nothing is known of order {order_id}: was it sent, and does `curbside status` show it waiting?", NOT_DONE
        )
    if not as_json:
        for each in found:
            state = ", ".join(f"{name} {_text(value)}" for name, value in each.state.items())
            typer.echo(sanitize(f"{each.provider} order {each.order_id}: {state or 'nothing applied yet'}"))
            rows = [(_text(step.at), step.what, _summary(each.provider, step), step.event_id or "") for step in each.steps]
            print_table(("when (UTC)", "what", "details", "event"), rows)


def trace(
    order_id: Annotated[str, typer.Argument(metavar="ORDER")],
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """The name that `curbside order` had in release 0.1."""
    complain("`curbside trace` is now `curbside order`; the old name goes in the next release.")
    order(order_id, as_json)


def _summary(provider: str, step: "Step") -> str:
    """What a person wants of a step: an event's own name first, who sent it last."""
    details, request = step.details, step.request
    rest = [f"{name} {_text(value)}" for name, value in details.items() if name not in _HIDDEN]
    own = [f"{name.removeprefix(f'x-{provider}-')} {value}" for name, value in request.headers.items()][:1]
    peer = [f"peer {request.peer}"] if request.peer else []
    return ", ".join([*([details["name"]] if "name" in details else []), *rest, *own, *peer])


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return format(value, "f") if isinstance(value, Decimal) else str(value)
