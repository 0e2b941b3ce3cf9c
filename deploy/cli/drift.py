"""`curbside drift`: where the providers' bodies differ from the contract."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.output import print_json, print_table

if TYPE_CHECKING:
    from workers.contract_drift import CountedFinding

_WORDS = {
    "unknown_event": "unknown event name",
    "unknown_field": "unknown field",
    "wrong_type": "wrong type",
    "missing_field": "no longer sent",
    "no_time": "neither id nor time",
}
_COLUMNS = ("provider", "event", "what", "where", "type found", "times", "first event", "first seen")


def drift(
    provider: Annotated[str, typer.Option(help="Only this provider.", metavar="NAME")] = "",
    event: Annotated[str, typer.Option(help="Only this event, by the provider's name for it.", metavar="NAME")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Delete all findings. What still differs is found again.")] = False,
) -> None:
    """Show where bodies differ from the contract: unknown event names, unknown fields, wrong types, fields no longer sent.

    Drift is not a failure: the events are applied. Each new finding is also one line in the workers' log. Under load only
    a sample of the bodies is checked and counted: the first of each event name, then one every quarter of a second and
    every thirty-second. Unknown event names are always counted. Values are never shown, only their types.

    Example: curbside drift --provider instacart
    """
    from deploy.deployment import open_deployment  # noqa: PLC0415 - quick start
    from workers.contract_drift import read_drift, reset_drift  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        if forget:
            reset_drift(deployment.client)
            typer.echo("All findings are deleted.")
            return
        found = [
            each
            for each in read_drift(deployment.client)
            if provider in ("", each.finding.provider) and event in ("", each.finding.event)
        ]
    if as_json:
        import msgspec  # noqa: PLC0415 - quick start

        print_json([{**msgspec.to_builtins(each.finding), "times": each.times} for each in found])
    elif not found:
        typer.echo("No drift: all bodies match the contract.")
    else:
        print_table(_COLUMNS, [_row(each) for each in found])


def _row(each: "CountedFinding") -> tuple[str, ...]:
    finding = each.finding
    return (
        finding.provider,
        finding.event,
        _WORDS[finding.what],
        finding.path,
        finding.found,
        str(each.times),
        finding.first_event_id or "-",
        f"{datetime.fromtimestamp(finding.first_at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}",
    )
