"""`curbside send`: post bodies as a provider would, with its token, signature or login."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.output import print_error, print_json
from deploy.errors import NOT_DONE, CommandError

_HELP_URL = "Where the ingress listens (default: http://CURBSIDE_HOST:CURBSIDE_PORT)."
_HELP_ENDPOINT = "The endpoint's UUID, for Afosto and providers with an endpoint header: sets the header, selects the secret."


def send(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="A body, a directory (its *.json files in order), or - (stdin).")
    ],
    provider: Annotated[
        str | None, typer.Option(help="The body's provider, built-in or your own (default: instacart or afosto, by the body).")
    ] = None,
    url: Annotated[str | None, typer.Option(help=_HELP_URL)] = None,
    endpoint: Annotated[str | None, typer.Option(help=_HELP_ENDPOINT)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Post event bodies as their provider would: with a token, a signature or a login.

    Prints each file with its status and the event's id. Exit code 1 if a body was not accepted.

    Examples: curbside send order.json   ·   curbside send --provider toyshop - < body.json
    """
    from deploy.cli.provider import Sender  # noqa: PLC0415 - quick start
    from deploy.generated import load_settings  # noqa: PLC0415 - quick start

    bodies = list(_bodies(files))
    width = max(len(name) for name, _ in bodies)
    answers = []
    with Sender(load_settings(os.environ), url, endpoint) as sender:
        for name, body in bodies:
            answer = sender.post(body, provider)
            answers.append({"file": name, **answer._asdict()})
            if not as_json:
                _show(name.ljust(width), answer.status, answer.id, answer.detail)
    if as_json:
        print_json(answers)
    if any(each["id"] is None for each in answers):
        raise typer.Exit(NOT_DONE)


def _show(name: str, status: int, event_id: str | None, detail: str | None) -> None:
    if event_id is not None:
        typer.echo(f"{name}  {status}  {event_id}")
    else:
        print_error(f"{name}  {status}  {detail}")


def _bodies(files: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield each body with its name. Raises CommandError for an unreadable file, before anything is sent."""
    for given in files:
        if given == "-":
            yield "-", sys.stdin.buffer.read()
            continue
        path = Path(given)
        paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not paths:
            raise CommandError(f"There is no *.json file in {given}.")
        for each in paths:
            try:
                yield str(each), each.read_bytes()
            except OSError as error:
                raise CommandError(f"Cannot read {each}: {error.strerror}.") from error
