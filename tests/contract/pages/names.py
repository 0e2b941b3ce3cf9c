"""Looks up what pages name in backticks: files, modules and their attributes, targets of `make`, settings."""

import importlib
import re
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

from schemas.contracts import BUILT_IN
from schemas.settings import DECLARED
from schemas.settings.credentials import variables_of
from tests.support.command_line import REPOSITORY

OURS = ("schemas", "ingress", "workers", "deploy", "tests", ".ci")
_SOURCES = (".py", ".lua", ".md", ".cfg", ".conf", ".lock", ".toml")
_PATH = re.compile(r"[\w.*/<>-]+(?:::\w+)?")
_DOTTED = re.compile(rf"(?:{'|'.join(OURS[:5])})(?:\.\w+)+")
_MAKE = re.compile(r"make(?: [a-z][a-z-]*)?(?: .*)?")
_SETTING = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_MADE_BY_RUNS = {".data", ".venv", ".venv-bench"}


def missing(name: str, folder: Path) -> str | None:
    """What is wrong with a name in a page of this folder; None if it exists, or is no name that can be looked up."""
    for pattern, exists in _KINDS:
        if pattern.fullmatch(name):
            return None if exists(name, folder) else f"`{name}`"
    return None


def _is_file(name: str, folder: Path) -> bool:
    """A path in the repository or beside the page, `*` for any text in it, `::test` behind it; or no path of ours."""
    path, _, test = name.partition("::")
    first = path.partition("/")[0]
    if first in OURS and "/" in path:
        found = list(REPOSITORY.glob(path.rstrip("/")))
        return bool(found) and (not test or any(f"def {test}(" in each.read_text() for each in found))
    if path.endswith(_SOURCES) and "/" not in path:
        return path in _names_of_files() or (folder / path).exists()
    return True


def _is_in_module(name: str, _: Path) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # an old name that is kept for a release exists
            for part in parts[count:]:
                if not hasattr(found, part):
                    return False
                found = getattr(found, part)
        return True
    return False


def _is_target(name: str, _: Path) -> bool:
    words = [word for word in name.split() if "=" not in word]
    makefile = (REPOSITORY / "Makefile").read_text()
    return len(words) < 2 or re.search(rf"^{re.escape(words[1])}:.*## ", makefile, re.MULTILINE) is not None


def _is_setting(name: str, _: Path) -> bool:
    return name in _settings() or any(re.search(rf"\b{name}\b", text) for text in _texts())


@cache
def _names_of_files() -> set[str]:
    return {each.name for part in (*OURS, ".") for each in (REPOSITORY / part).glob("**/*" if part != "." else "*")}


@cache
def _settings() -> set[str]:
    of_providers = {each.name for name, contract in BUILT_IN.items() for each in variables_of(name, contract.proof)}
    return {each.metadata["name"] for each in DECLARED} | of_providers


@cache
def _texts() -> list[str]:
    """Where other variables are read: those of tests and of examples, and constants."""
    files = [each for part in OURS for each in (REPOSITORY / part).rglob("*") if each.suffix in {".py", ""} and each.is_file()]
    return [each.read_text() for each in [*files, REPOSITORY / "Makefile"]]


_KINDS: tuple[tuple[re.Pattern[str], Callable[[str, Path], bool]], ...] = (
    (_DOTTED, lambda name, folder: _is_in_module(name, folder) or (_is_file(name, folder) and name.endswith(_SOURCES))),
    (_MAKE, _is_target),
    (_SETTING, _is_setting),
    (_PATH, _is_file),
)
