"""`curbside failed`: what failed, why, and the body that failed."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from deploy.cli.output import print_json, print_table
from deploy.cli.selection import (
    HandlerOption,
    OrderOption,
    ProviderOption,
    ReasonOption,
    Selection,
    StateOption,
    YoungerOption,
    find_failures,
    format_time,
)
from deploy.errors import NOT_DONE, CommandError
from schemas.failures import Failure
from schemas.sanitizing import sanitize, sanitize_lines

MAX_MESSAGE_CHARS = 100
_MULTILINE = {"request", "message", "traceback", "body"}
"""Fields whose value may have several lines."""

app = typer.Typer(invoke_without_command=True)


@app.callback()
def failed(
    context: typer.Context,
    handler: HandlerOption = None,
    reason: ReasonOption = None,
    provider: ProviderOption = None,
    order: OrderOption = None,
    state: StateOption = None,
    since: YoungerOption = None,
    each: Annotated[bool, typer.Option("--each", help="List each failure instead of one row per cause.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List failures, grouped by cause, the most frequent cause first.

    Exit code 0 whether or not anything failed. With --json, an empty list means that nothing failed.

    Examples: curbside failed --handler refunds   ·   curbside failed --each   ·   curbside failed show refunds:1732-0
    """
    if context.invoked_subcommand is not None:
        return
    from deploy.deployment import open_deployment  # noqa: PLC0415 - quick start

    selection = Selection(handler, reason, provider, order, state, since)
    selection.earliest_ms()
    with open_deployment() as deployment:
        found = selection.of(deployment.failures.all())
    rows = [_one(failure) for failure in found] if each else _groups(found)
    if as_json:
        print_json(rows)
    elif not rows:
        typer.echo("nothing failed" if not selection else "no failure matches")
    else:
        print_table(tuple(rows[0]), [tuple(_cell(value) for value in row.values()) for row in rows])


@app.command()
def show(
    failure_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="A failure's id from `curbside failed --each` (refunds:1732-0), or an event's id."),
    ],
    unmask: Annotated[bool, typer.Option("--unmask", help="Show personal data, and the error's own text.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show one failure: reason, traceback, body. Personal data is masked without --unmask.

    Exit code 1 if there is no such failure.

    Example: curbside failed show refunds:1732230000000-0
    """
    from deploy.deployment import open_deployment  # noqa: PLC0415 - quick start

    with open_deployment() as deployment:
        found = list(find_failures(deployment, failure_id))
    if not found:
        raise CommandError(f"No failure {failure_id}: see `curbside failed --each`. It may have been applied since.", NOT_DONE)
    if len(found) > 1:
        ids = ", ".join(each.field for each in found)
        raise CommandError(f"{failure_id} failed in several handlers: name one of {ids}.", NOT_DONE)
    details = _details(found[0], unmask, deployment.settings.max_body_bytes)
    if as_json:
        print_json(details)
        return
    for name, value in details.items():
        typer.echo(f"{name}:{_value(name, _cell(value))}")


def _groups(failures: list[Failure]) -> list[dict[str, Any]]:
    """Return one row per cause, the most frequent first."""
    from workers.failures.error_report import redact  # noqa: PLC0415 - quick start

    groups: dict[tuple[str, str, str], list[Failure]] = defaultdict(list)
    for failure in failures:
        groups[failure.handler, failure.reason.value, failure.state.value].append(failure)
    return [
        {
            "count": len(group),
            "handler": handler,
            "reason": reason,
            "state": state,
            "first": _time(min(failure.first_at_ms for failure in group)),
            "last": _time(max(failure.last_at_ms for failure in group)),
            "example": group[-1].field,
            "says": " ".join(redact(group[-1]).message.split())[:MAX_MESSAGE_CHARS],
        }
        for (handler, reason, state), group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _one(failure: Failure) -> dict[str, Any]:
    return {
        "id": failure.field,
        "reason": failure.reason.value,
        "state": failure.state.value,
        "attempts": failure.attempts,
        "provider": failure.provider,
        "orders": list(failure.order_ids),
        "last": _time(failure.last_at_ms),
        "next": _time(failure.next_at_ms),
    }


def _details(failure: Failure, unmask: bool, limit_bytes: int) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - quick start

    from schemas.masking import masked  # noqa: PLC0415 - quick start
    from workers.failures.error_report import redact  # noqa: PLC0415 - quick start

    body, compressed = _decompressed(failure, limit_bytes)
    return {
        **_one(failure),
        "first": _time(failure.first_at_ms),
        "kind": failure.kind,
        "task": failure.task_id or None,
        "note": failure.note or None,
        "request": msgspec.to_builtins(failure.request) or None,
        "message": failure.message if unmask else redact(failure).message,
        "traceback": failure.traceback if unmask else redact(failure).traceback,
        **({} if compressed is None else {"compressed": compressed}),
        "body": body.decode("utf-8", "backslashreplace") if unmask else masked(body),
    }


def _decompressed(failure: Failure, limit_bytes: int) -> tuple[bytes, str | None]:
    """Return the body as the provider wrote it, and how it was compressed. An unreadable one is returned as it came."""
    from schemas.compression import decompress  # noqa: PLC0415 - quick start
    from schemas.failures import DecodeError  # noqa: PLC0415 - quick start

    size = f"{len(failure.body)} bytes"
    try:
        body, codings = decompress(failure.body, failure.request.content_encoding, limit_bytes)
    except DecodeError:
        return failure.body, f"unreadable, {size}"
    return body, f"{', '.join(codings)}, {size}" if codings else None


def _value(name: str, text: str) -> str:
    """Return a value as shown after its name. Lines of a multi-line value are indented: none can look like another field."""
    if name not in _MULTILINE or ("\n" not in text and name != "request") or text == "-":
        return f" {sanitize(text)}"
    return "".join(f"\n  {line}" for line in sanitize_lines(text).rstrip("\n").split("\n"))


def _time(epoch_ms: int) -> datetime | None:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC) if epoch_ms else None


def _cell(value: Any) -> str:
    """Format a value for people."""
    if isinstance(value, datetime):
        return format_time(int(value.timestamp() * 1000))
    if isinstance(value, dict):
        return "\n".join(f"{name}: {sanitize(str(each))}" for name, each in _flat(value))
    return ",".join(value) or "-" if isinstance(value, list) else str(value if value is not None else "-")


def _flat(request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the fields of a request context, its `headers` included."""
    for name, value in request.items():
        yield from value.items() if isinstance(value, dict) else [(name, value)]
