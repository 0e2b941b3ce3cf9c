"""`curbside schema`: the published AsyncAPI and OpenAPI documents."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.output import print_error
from deploy.errors import NOT_DONE, CommandError

if TYPE_CHECKING:
    from schemas.contracts import Contract

_NAMES = "asyncapi or openapi"


def schema(
    name: Annotated[str, typer.Argument(help=f"{_NAMES} (default: both).", metavar="[NAME]")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Only check that the committed documents are current (exit code 1 if not).")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Generate the documents and write them, in a checkout.")] = False,
) -> None:
    """Print the AsyncAPI document of all messages received, or the OpenAPI document of the HTTP interface.

    Both are generated from the wire models, committed under schemas/, and served at /asyncapi.json and /openapi.json.
    The printed documents also describe your own providers (PROVIDER_MODULES).

    Examples: curbside schema asyncapi > asyncapi.json   ·   curbside schema --write
    """
    from deploy.documents.files import GENERATORS, generate, is_current, path_of, published  # noqa: PLC0415 - quick start

    if name and name not in GENERATORS:
        raise CommandError(f"There is no document {name!r}: expected {_NAMES}.")
    names = [name] if name else list(GENERATORS)
    if write:
        for each in names:
            path_of(each).write_bytes(generate(each))
            typer.echo(f"wrote {path_of(each)}")
    elif check:
        if stale := [each for each in names if not is_current(each)]:
            print_error(
                f"Not generated from the current models: {', '.join(stale)}. Run `curbside schema --write` and commit it."
            )
            raise typer.Exit(NOT_DONE)
        typer.echo("current")
    else:
        own = _own()
        for each in names:
            typer.echo(published(each, own), nl=False)


def _own() -> "dict[str, Contract]":
    from deploy.generated import with_generated  # noqa: PLC0415 - quick start
    from schemas.contracts import BUILT_IN  # noqa: PLC0415 - quick start
    from schemas.settings import providers_named_in  # noqa: PLC0415 - quick start

    found = providers_named_in(with_generated(os.environ))
    return {name: contract for name, contract in found.items() if name not in BUILT_IN}
