"""Settings with what `make run` generated: `NAME=value` lines in a file of the data folder, readable by its owner only."""

from collections.abc import Mapping
from pathlib import Path

from schemas.settings import Settings, load

FILE_NAME = "credentials.env"


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


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Read all settings: environment, then generated, then defaults. Raises `SettingError`."""
    return load(environment, read_generated(path_in(environment)))
