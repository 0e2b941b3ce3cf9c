"""`curbside drift`: where what the providers send has moved away from the contract."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from deploy.cli.output import print_json, print_table

_WORDS = {
    "unknown_event": "event of an unknown name",
    "unknown_field": "unknown field",
    "wrong_type": "wrong type",
    "missing_field": "no longer comes",
}


def drift(
    provider: Annotated[str, typer.Option(help="Only this provider.", metavar="NAME")] = "",
    event: Annotated[str, typer.Option(help="Only this event, by the provider's name of it.", metavar="NAME")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Forget all findings: what is still so is found anew.")] = False,
) -> None:
    """Show unknown event names, unknown fields, wrong types and fields that no longer come: no failures, but somebody should know.

    Every new finding is also one line in the workers' log. Under load only some bodies are looked at, and counted: the first of
    each event, then one every quarter of a second and every thirty-second; unknown names are all counted. Values are never shown, only their types.

    Example: curbside drift --provider instacart
    """
    from deploy.cli.deployment import open_deployment  # noqa: PLC0415 - quick start
    from workers.contract_drift import read_drift, reset_drift  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        if forget:
            reset_drift(deployment.client)
            typer.echo("Forgotten.")
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
        typer.echo("No drift: what came is what the contract says.")
    else:
        print_table(
            ("provider", "event", "what", "where", "type found", "times", "first event", "first seen"),
            [
                (
                    each.finding.provider,
                    each.finding.event,
                    _WORDS[each.finding.what],
                    each.finding.path,
                    each.finding.found,
                    str(each.times),
                    each.finding.first_event_id or "-",
                    f"{datetime.fromtimestamp(each.finding.first_at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}",
                )
                for each in found
            ],
        )
