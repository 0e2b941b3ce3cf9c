"""`curbside settings`: every setting, its value and its source."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import Field
from typing import Annotated, Any, NamedTuple

import typer

from deploy.cli.output import print_error, print_json, print_table
from deploy.errors import WRONG_SET_UP
from deploy.generated import load_settings, path_in, read_generated
from schemas.contracts import BUILT_IN
from schemas.settings import DECLARED, SettingError, Settings, providers_named_in
from schemas.settings.addresses import MASK, masked_addresses, shown
from schemas.settings.credentials import variables_of

_ADDRESSES = {"REDIS_URL", "CELERY_BROKER_URL", "DATABASE_URL"}
_COLUMNS = ("variable", "value", "from", "meaning")


class Row(NamedTuple):
    """One setting. `source` is environment, generated, derived (from other settings), default or missing."""

    name: str
    value: str
    source: str
    meaning: str


def settings(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List every setting: variable, value, source and meaning. Secrets are masked.

    The first of these that has a value is used: the environment, the values that `curbside run` generated into the data
    directory, a value derived from other settings, the default. Exit code 2 if a setting is missing or wrong.

    Example: DEDUPE_WINDOW=24h curbside settings
    """
    loaded, wrong = None, ""
    try:
        loaded = load_settings(os.environ)
    except SettingError as error:
        wrong = str(error)
    rows = list(rows_of(os.environ, read_generated(path_in(os.environ)), loaded))
    if as_json:
        print_json([row._asdict() for row in rows])
    else:
        print_table(_COLUMNS, rows)
    if wrong:
        print_error(wrong)
        raise typer.Exit(WRONG_SET_UP)


def rows_of(environment: Mapping[str, str], generated: Mapping[str, str], loaded: Settings | None) -> Iterator[Row]:
    """Yield the rows. Without `loaded`, when a setting is wrong, derived values are not shown."""
    for each in DECLARED:
        value, source = _found(each, environment, generated, loaded)
        name, secret = each.metadata["name"], each.metadata["secret"]
        yield Row(name, _masked(name, value) if secret else shown(value), source, each.metadata["meaning"])
    yield from _credentials(environment, generated)


def _credentials(environment: Mapping[str, str], generated: Mapping[str, str]) -> Iterator[Row]:
    """Yield the variables of all credentials; of the built-in providers only, if a user's own cannot be loaded."""
    try:
        contracts = providers_named_in({**generated, **environment})
    except SettingError:
        contracts = dict(BUILT_IN)
    for provider, contract in contracts.items():
        for each in variables_of(provider, contract.proof):
            given = environment.get(each.name) or generated.get(each.name, "")
            source = "environment" if environment.get(each.name) else "generated" if given else "missing"
            yield Row(each.name, MASK if given and each.is_secret else shown(given), source, each.meaning)


def _found(
    each: Field[Any], environment: Mapping[str, str], generated: Mapping[str, str], loaded: Settings | None
) -> tuple[str, str]:
    name, default = each.metadata["name"], each.metadata["default"]
    for given, source in ((environment, "environment"), (generated, "generated")):
        if given.get(name):
            return given[name], source
    if loaded is not None and name in _ADDRESSES:
        return str(getattr(loaded, each.name)), "derived"
    return (default, "default") if default is not None else ("", "missing")


def _masked(name: str, value: str) -> str:
    """Mask a secret. An address is shown without its password and parameters, if it can be parsed."""
    if not value:
        return ""
    return masked_addresses(value) if name in _ADDRESSES else MASK
