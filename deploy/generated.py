"""Settings with what `make run` generated: `NAME=value` lines in a file of the data folder, readable by its owner only.

A value is made once and kept, so that tokens, signatures and logins survive a restart. What the environment sets is
never written here.
"""

import base64
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from schemas.settings import Settings, load

FILE_NAME = "credentials.env"

_HEADER = """\
# Made by `curbside run` for this machine. Keep it to yourself; a variable of the environment goes before a line here.
"""
_MAKERS: Mapping[str, Callable[[], str]] = {
    "INSTACART_CLIENT_ID": lambda: f"instacart-{secrets.token_hex(4)}",
    "INSTACART_CLIENT_SECRET": lambda: secrets.token_hex(24),
    "TOKEN_SIGNING_KEYS": lambda: secrets.token_hex(32),
    "AFOSTO_SECRETS": lambda: secrets.token_hex(24),
    "CURBSIDE_VALKEY_PASSWORD": lambda: secrets.token_hex(24),
    "FLOWER_BASIC_AUTH": lambda: f"operator:{secrets.token_hex(12)}",
    "ALERT_WEBHOOK_SECRET": lambda: f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}",
}


def path_in(environment: Mapping[str, str]) -> Path:
    """Where the generated settings are."""
    return Path(environment.get("CURBSIDE_DATA_DIR") or ".data") / FILE_NAME


def read_generated(path: Path) -> dict[str, str]:
    """The generated settings; none if `make run` has not made any."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def with_generated(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a part of the deployment is started with: what is set, and for the rest what is generated."""
    return {**read_generated(path_in(environment)), **{name: value for name, value in environment.items() if value}}


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Read all settings: environment, then generated, then defaults. Raises `SettingError`."""
    return load(environment, read_generated(path_in(environment)))


def generate_missing(environment: Mapping[str, str]) -> list[str]:
    """Make what neither the environment nor the file has, and say which. All or nothing: the file is replaced at once.

    Raises OSError if the file cannot be read or written.
    """
    path = path_in(environment)
    text = path.read_text() if path.exists() else _HEADER
    known = read_generated(path)
    missing = [name for name in _MAKERS if not environment.get(name) and not known.get(name)]
    if missing:
        _replace(path, text.rstrip("\n") + "\n" + "".join(f"{name}={_MAKERS[name]()}\n" for name in missing))
    return missing


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
