"""The arrows between the parts, read off every import: `schemas ← ingress`, `schemas ← workers`; deploy sees all."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_NOT_IMPORT = {
    "schemas": {"ingress", "workers", "deploy", "tests"},
    "ingress": {"workers", "deploy", "tests"},
    "workers": {"ingress", "deploy", "tests"},
    "deploy": {"tests"},
}
PURE = {
    "__future__",
    "binascii",
    "codecs",
    "collections",
    "contextlib",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "functools",
}
PURE |= {
    "hashlib",
    "ipaddress",
    "itertools",
    "math",
    "msgspec",
    "operator",
    "pathlib",
    "re",
    "schemas",
    "types",
    "typing",
    "unicodedata",
    "urllib",
    "zoneinfo",
}
"""All that `schemas` may import: nothing that reads a clock, the environment, a file or the network."""
MAY_IMPORT_BY_NAME = {"provider_modules.py"}
"""Of `schemas`: where a user's own modules are imported, as the settings name them."""
PURE_IN = {"log_records.py": {"logging", "traceback"}}
"""It says what a log record of every part is, and writes none."""
FILES = {part: sorted((ROOT / part).rglob("*.py")) for part in MAY_NOT_IMPORT}


def imports(source: str) -> Iterator[str]:
    """Every module that a source imports, wherever in the file, by its full name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path.read_text())}


def test_the_tree_is_where_we_look() -> None:
    assert all(FILES.values())


@pytest.mark.parametrize("part", MAY_NOT_IMPORT)
def test_no_part_imports_what_it_may_not(part: str) -> None:
    crossings = {str(path.relative_to(ROOT)): roots(path) & MAY_NOT_IMPORT[part] for path in FILES[part]}
    assert not {path: names for path, names in crossings.items() if names}


@pytest.mark.parametrize("part", MAY_NOT_IMPORT)
def test_every_import_names_its_part_in_full(part: str) -> None:
    assert not [path for path in FILES[part] if "" in roots(path)]


def test_the_contract_does_no_io() -> None:
    impure = {path.name: roots(path) - PURE - PURE_IN.get(path.name, set()) for path in FILES["schemas"]}
    assert {name for name, found in impure.items() if "importlib" in found} == MAY_IMPORT_BY_NAME
    impure |= {name: impure[name] - {"importlib"} for name in MAY_IMPORT_BY_NAME}
    assert not {name: found for name, found in impure.items() if found}
    modules = {name for path in FILES["schemas"] for name in imports(path.read_text()) if name.startswith("urllib")}
    assert modules <= {"urllib.parse"}


def test_an_import_inside_a_function_is_seen_too() -> None:
    source = "import os.path\ndef f():\n    from workers.valkey.store import Store\n    if f:\n        from . import x"
    assert list(imports(source)) == ["os.path", "workers.valkey.store", "."]
