"""The direction of imports: `schemas ← ingress`, `schemas ← workers`, deploy imports all; no cycles, none upwards."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
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
PURE_IN = {
    "log_records.py": {"logging", "traceback"},
    "compression.py": {"zlib", "brotli", "backports", "compression", "sys"},
}
"""The first says what a log record of every part is, and writes none. The second decompresses bytes in memory, and asks `sys` for
Python's version only."""
FLOORS = {
    "schemas": (
        {
            "content_codings",
            "identity",
            "keys",
            "processes",
            "proofs",
            "refusals",
            "request_context",
            "sanitizing",
            "stream_groups",
            "valkey_memory",
        },
        {"events", "failures", "log_records", "tasks"},
        {"compression", "messages", "parsing"},
        {"drift", "masking"},
        {"providers"},
        {"contracts"},
        {"decoding", "provider_modules"},
        {"settings"},
    ),
    "workers": (
        {"errors"},
        {"valkey"},
        {"broker", "local_work"},
        {"consumers", "contract_drift", "event_decoder", "failures", "ledger"},
        {"alerts", "broker_watch", "handler", "housekeeping", "isolation", "monitoring", "periodic_step"},
        {"batch_applier", "handlers", "isolated", "relief_timer", "resources", "suspects", "testing"},
        {"dispatcher"},
        {"handler_runner", "replay", "retry_executor", "timer"},
        {"runtime", "shutdown"},
        {"app"},
        {"__main__"},
    ),
}
"""Modules and folders, lowest floor first: each imports only from floors below (a folder's modules also from each other)."""
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


def test_the_source_tree_is_found() -> None:
    assert all(FILES.values())


@pytest.mark.parametrize("part", MAY_NOT_IMPORT)
def test_no_package_imports_what_it_may_not(part: str) -> None:
    crossings = {str(path.relative_to(ROOT)): roots(path) & MAY_NOT_IMPORT[part] for path in FILES[part]}
    assert not {path: names for path, names in crossings.items() if names}


@pytest.mark.parametrize("part", MAY_NOT_IMPORT)
def test_every_import_is_absolute(part: str) -> None:
    assert not [path for path in FILES[part] if "" in roots(path)]


def test_the_contract_does_no_io() -> None:
    impure = {path.name: roots(path) - PURE - PURE_IN.get(path.name, set()) for path in FILES["schemas"]}
    assert {name for name, found in impure.items() if "importlib" in found} == MAY_IMPORT_BY_NAME
    impure |= {name: impure[name] - {"importlib"} for name in MAY_IMPORT_BY_NAME}
    assert not {name: found for name, found in impure.items() if found}
    modules = {name for path in FILES["schemas"] for name in imports(path.read_text()) if name.startswith("urllib")}
    assert modules <= {"urllib.parse"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path) for paths in FILES.values() for path in paths}


def modules_imported(path: Path) -> set[str]:
    """Our own modules that a file imports: `from schemas import keys` is `schemas.keys`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in full}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES


def room(module: str) -> str:
    """The module or folder directly below its part; the part itself of its `__init__`."""
    return ".".join(module.split(".")[:2])


def graph(part: str, *, of_rooms: bool) -> dict[str, set[str]]:
    """What imports what within a part."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in FILES[part]:
        importer = module_name(path)
        for imported in modules_imported(path):
            if imported.startswith(f"{part}."):
                ends = (room(importer), room(imported)) if of_rooms else (importer, imported)
                found[ends[0]] |= {ends[1]} - {ends[0]}
    return found


@pytest.mark.parametrize("of_rooms", [False, True], ids=["modules", "folders"])
@pytest.mark.parametrize("part", MAY_NOT_IMPORT)
def test_no_imports_form_a_cycle(part: str, of_rooms: bool) -> None:
    assert tuple(TopologicalSorter(graph(part, of_rooms=of_rooms)).static_order()), "CycleError names the circle"


@pytest.mark.parametrize("part", FLOORS)
def test_no_module_imports_from_a_floor_above(part: str) -> None:
    floor = {f"{part}.{name}": number for number, names in enumerate(FLOORS[part]) for name in names}
    rooms = {room(module_name(path)) for path in FILES[part]} - {part}
    assert rooms == set(floor), "every module and folder has its floor"
    upward = {(a, b) for a, imported in graph(part, of_rooms=True).items() for b in imported if floor[a] <= floor[b]}
    assert not upward


def test_an_import_inside_a_function_is_found() -> None:
    source = "import os.path\ndef f():\n    from workers.valkey.store import Store\n    if f:\n        from . import x"
    assert list(imports(source)) == ["os.path", "workers.valkey.store", "."]
