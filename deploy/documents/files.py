"""The published documents: as committed under `schemas/`, and as generated from the current models."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from deploy.documents import asyncapi, openapi
from deploy.errors import NOT_DONE, CommandError
from schemas.contracts import Contract

DIRECTORY = Path(__file__).parents[2] / "schemas"
_PAYLOADS = Path(__file__).parents[2] / "tests" / "payloads"

GENERATORS: dict[str, Callable[[], Any]] = {
    "asyncapi": lambda: asyncapi.document(version("curbside"), _example),
    "openapi": lambda: openapi.document(version("curbside")),
}

PROVIDER_ADDERS: dict[str, Callable[[dict[str, Any], str, Contract], None]] = {
    "asyncapi": asyncapi.add_provider,
    "openapi": openapi.add_provider,
}
_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def path_of(name: str) -> Path:
    """Return the path of a committed document."""
    return DIRECTORY / f"{name}.json"


def generate(name: str) -> bytes:
    """Generate a document. Raises CommandError outside a checkout, where the recorded bodies are missing."""
    return orjson.dumps(GENERATORS[name](), option=_OPTIONS)


def published(name: str, own: Mapping[str, Contract]) -> bytes:
    """Return a committed document, with a user's own providers added."""
    text = path_of(name).read_bytes()
    if not own:
        return text
    document = orjson.loads(text)
    for provider, contract in own.items():
        PROVIDER_ADDERS[name](document, provider, contract)
    return orjson.dumps(document, option=_OPTIONS)


def is_current(name: str) -> bool:
    """Whether the committed document matches the models."""
    path = path_of(name)
    return path.exists() and path.read_bytes() == generate(name)


def _example(name: str) -> bytes:
    path = _PAYLOADS / f"{name}.json"
    if not path.exists():
        raise CommandError(f"{path} is missing: documents are generated only in a checkout of the repository.", NOT_DONE)
    return path.read_bytes()
