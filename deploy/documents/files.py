"""The documents as they are committed under `schemas/`, and as the models would have them now."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from deploy.documents import asyncapi, openapi
from deploy.errors import NOT_DONE, CommandError
from schemas.contracts import Contract

FOLDER = Path(__file__).parents[2] / "schemas"
_PAYLOADS = Path(__file__).parents[2] / "tests" / "payloads"

MAKERS: dict[str, Callable[[], Any]] = {
    "asyncapi": lambda: asyncapi.document(version("curbside"), _example),
    "openapi": lambda: openapi.document(version("curbside")),
}

ADDERS: dict[str, Callable[[dict[str, Any], str, Contract], None]] = {
    "asyncapi": asyncapi.add_provider,
    "openapi": openapi.add_provider,
}
_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def path_of(name: str) -> Path:
    """Where a document is committed."""
    return FOLDER / f"{name}.json"


def make(name: str) -> bytes:
    """A document as it should be. Raises CommandError outside a checkout, where there are no recorded bodies."""
    return orjson.dumps(MAKERS[name](), option=_OPTIONS)


def published(name: str, own: Mapping[str, Contract]) -> bytes:
    """A document as committed, and what it says of a user's own providers: those are in no committed one."""
    text = path_of(name).read_bytes()
    if not own:
        return text
    document = orjson.loads(text)
    for provider, contract in own.items():
        ADDERS[name](document, provider, contract)
    return orjson.dumps(document, option=_OPTIONS)


def is_current(name: str) -> bool:
    """Whether what is committed is what the models say."""
    path = path_of(name)
    return path.exists() and path.read_bytes() == make(name)


def _example(name: str) -> bytes:
    path = _PAYLOADS / f"{name}.json"
    if not path.exists():
        raise CommandError(f"{path} is missing: the examples are made of it, in a checkout of the repository.", NOT_DONE)
    return path.read_bytes()
