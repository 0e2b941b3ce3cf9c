"""The banner of `make run`: addresses, credentials, files, and commands to try."""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import orjson

from deploy.generated import path_in, read_generated
from deploy.local.data_dir import DataDir
from deploy.local.ports import LOOPBACK, url_of
from schemas.settings import Settings

FIRST_EVENT = Path("tests/payloads/instacart/flat/order_created.json")
_SHOWN = {
    "INSTACART_CLIENT_ID": "Instacart client id",
    "INSTACART_CLIENT_SECRET": "Instacart client secret",
    "AFOSTO_SECRETS": "Afosto webhook secret",
    "FLOWER_BASIC_AUTH": "Flower user:password",
}
_NOT_SECRET = ("CURBSIDE_DATA_DIR", "CURBSIDE_HOST", "CURBSIDE_PORT", "CURBSIDE_VALKEY_PORT")

Section = tuple[str, Sequence[tuple[str, str]]]


def sections(settings: Settings, data_dir: DataDir, environment: Mapping[str, str]) -> Iterator[Section]:
    """Yield the banner's sections: a title and rows."""
    yield "Addresses", list(_addresses(settings, environment))
    generated = read_generated(path_in(environment))
    made = [(title, generated[name]) for name, title in _SHOWN.items() if name in generated and not environment.get(name)]
    if made:
        yield f"Credentials, generated in {_relative(data_dir.root / path_in(environment).name)}", made
    yield "Files", [("data", f"{_relative(data_dir.root)}/"), ("logs", f"{_relative(data_dir.logs)}/")]
    yield "Try, in a second terminal", list(_commands(environment))


def _addresses(settings: Settings, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    ingress = url_of(settings.host, settings.port)
    yield "Instacart webhook", f"{ingress}/webhook"
    yield "Instacart token", f"{ingress}/oauth/token"
    yield "Afosto webhook", f"{ingress}/webhook/afosto"
    yield "Flower", url_of(settings.host, settings.flower_port)
    yield "Valkey", "at REDIS_URL" if environment.get("REDIS_URL") else f"{LOOPBACK}:{settings.valkey_port}"
    if environment.get("DATABASE_URL"):
        yield "ledger", "at DATABASE_URL"


def _commands(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield commands to paste in a second terminal, with the variables that they need and that are not secret."""
    program = _program(environment)
    yield "send a first event", f"{program} send {_relative(_payload())}"
    yield "show its order", f"{program} order {_order_of(_payload())}"
    yield "stop everything", "Ctrl-C, in this terminal"


def _program(environment: Mapping[str, str]) -> str:
    changed = [f"{name}={shlex.quote(environment[name])}" for name in _NOT_SECRET if environment.get(name)]
    return " ".join([*changed, shlex.quote(_relative(Path(sys.executable).with_name("curbside")))])


def _payload() -> Path:
    return Path(__file__).parents[2] / FIRST_EVENT


def _order_of(payload: Path) -> str:
    try:
        return str(orjson.loads(payload.read_bytes())["order_id"])
    except (OSError, ValueError, KeyError):
        return "ORDER"


def _relative(path: Path) -> str:
    """Return the path relative to the working directory, if it lies below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
