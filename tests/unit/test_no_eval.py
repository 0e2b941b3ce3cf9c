"""No text from outside is executed: no `eval` or its like in the source tree, and Celery accepts only JSON."""

import ast
import re
from pathlib import Path

from schemas.tasks import broker_options
from tests.support.settings import make_settings
from workers.app import create_app

ROOT = Path(__file__).parents[2]
RUNS_TEXT = {"eval", "exec", "compile", "__import__", "execfile"}
PARTS = ("schemas", "ingress", "workers", "deploy", "tests")


def calls_that_run_text(source: str) -> list[str]:
    """Calls by these bare names, and of modules that unpack objects."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RUNS_TEXT:
            names.append(node.func.id)
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            names += [name for name in modules if name.split(".")[0] in {"pickle", "marshal", "shelve", "dill", "cloudpickle"}]
    return names


def test_no_python_in_the_tree_runs_text() -> None:
    files = [path for part in PARTS for path in (ROOT / part).rglob("*.py")]
    assert len(files) > 100
    found = {str(path.relative_to(ROOT)): calls_that_run_text(path.read_text()) for path in files}
    assert not {path: names for path, names in found.items() if names}


def test_no_page_and_no_script_of_valkey_runs_text() -> None:
    files = [path for part in PARTS for suffix in ("html", "js", "lua") for path in (ROOT / part).rglob(f"*.{suffix}")]
    files = [path for path in files if "node_modules" not in path.parts]  # the AsyncAPI parser's, not ours
    assert files
    runs = re.compile(r"\b(eval|loadstring|load|new Function)\s*\(|setTimeout\(\s*['\"]")
    assert not [path.name for path in files if runs.search(path.read_text())]


def test_the_search_finds_its_patterns() -> None:
    assert calls_that_run_text("def f(x):\n    import pickle\n    return eval(x)") == ["pickle", "eval"]


def test_celery_accepts_only_json() -> None:
    settings = make_settings()
    app = create_app(settings)
    assert list(app.conf.accept_content) == ["json"]
    assert app.conf.task_serializer == "json"
    assert "accept_content" not in broker_options(settings.celery_broker_url)
