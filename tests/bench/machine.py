"""The caveat, and what a number depends on: machine, versions, durability setting."""

import importlib.metadata
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path

import orjson

from tests.bench.contenders import RIVALS
from tests.bench.servers import DURABILITY, valkey_binary

CAVEAT = """\
Read this first. These are numbers of one machine in one quarter of an hour. Load, servers and Valkey share its cores, so every
rate is lower than on machines of their own; what holds elsewhere are the ratios within one run. Runs are interleaved, and a
ratio is the median over runs of the two numbers of the same run. The rivals are as short as their users write them and check
no token; all that use Valkey use the same durability setting. Latencies of acknowledgements alone are of a closed loop (wrk), which
hides what a stall kept from being sent; those to a committed effect are of an open loop, which hides nothing. On a machine that is
busy with something else (see its load average) nothing here means much."""

_PACKAGES = (
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
    "celery",
    "redis",
    "hiredis",
    "msgspec",
    "sqlalchemy",
    "psycopg",
)

_OF_RIVALS = ("arq==", "asyncpg==", "celery==", "fastapi==", "psycopg==", "redis==", "taskiq==", "taskiq-redis==")


def facts(folder: Path) -> dict[str, str]:
    """What to print before any number; `folder` is where Valkey's data will be."""
    return {
        "machine": f"{_cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "load": "load average before the run " + " ".join(f"{each:.2f}" for each in os.getloadavg()),
        "versions": ", ".join([f"Python {platform.python_version()}", _valkey_version(), *map(_version, _PACKAGES)]),
        "rivals": ", ".join(_rivals()),
        "durability": ", ".join(f"{name} {value!r}" for name, value in DURABILITY.items())
        + f"; one fsync of 4 kB takes {fsync_seconds(folder) * 1e6:.0f} µs here (median)",
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} –"


def _rivals() -> list[str]:
    """As pinned."""
    pins = [
        line for file in sorted(RIVALS.glob("*.txt")) for line in file.read_text().splitlines() if line.startswith(_OF_RIVALS)
    ]
    package = orjson.loads((RIVALS / "node" / "package.json").read_bytes())
    return [pin.replace("==", " ") for pin in dict.fromkeys(pins)] + [
        f"{name} {pin}" for name, pin in package["dependencies"].items()
    ]


def _valkey_version() -> str:
    output = subprocess.run([valkey_binary(), "--version"], capture_output=True, text=True, check=False).stdout
    name = output.partition(" ")[0]
    said = dict(word.split("=", 1) for word in output.split() if "=" in word)
    return f"{name} {said.get('v', '?')} (allocator {said.get('malloc', '?')})"


def fsync_seconds(folder: Path) -> float:
    """The median time of an fsync of 4 kB on this disk. On a disk that does not wait, fsync proves nothing."""
    path, times = folder / "fsync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(100):
            begin = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begin)
    path.unlink()
    return statistics.median(times)
