"""The rivals' environments, apart from ours because their pins clash with it and with each other. Made when first needed."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.processes import ROOT, StartError

_FOLDER = ROOT / ".venv-bench"
_RIVALS = Path(__file__).with_name("rivals")
_INSTALL_SECONDS = 600


def python_with(requirements: str) -> str:
    """An interpreter that has the packages of a file in `rivals/`. Raises `StartError` if they cannot be installed."""
    folder, pins = _FOLDER / Path(requirements).stem, _RIVALS / requirements
    interpreter = folder / "bin" / "python"
    if not _is_current(folder, pins):
        shutil.rmtree(folder, ignore_errors=True)
        _install([sys.executable, "-m", "venv", str(folder)])
        _install([str(interpreter), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(pins)])
        _mark(folder, pins)
    return str(interpreter)


def node() -> tuple[str, str] | None:
    """Node and the script of its rival; None where node or npm is missing."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        return None
    folder, pins = _FOLDER / "node", _RIVALS / "node" / "package-lock.json"
    if not _is_current(folder, pins):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(pins.with_name(name), folder)
        _install([npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)])
        _mark(folder, pins)
    script = folder / "bullmq.mjs"  # beside its packages, where node looks for them
    shutil.copy(pins.with_name(script.name), script)
    return program, str(script)


def _is_current(folder: Path, pins: Path) -> bool:
    mark = folder / "installed"
    return mark.exists() and mark.read_bytes() == pins.read_bytes()


def _mark(folder: Path, pins: Path) -> None:
    (folder / "installed").write_bytes(pins.read_bytes())


def _install(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    if done.returncode:
        raise StartError(f"a rival cannot be installed: {' '.join(command)}: {(done.stderr or done.stdout).strip()[-800:]}")
