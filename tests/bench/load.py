"""Closed-loop HTTP load by wrk: a fixed number of connections, each posting again as soon as it is answered."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.bench.bodies import Posted

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("post.lua")


class LoadError(Exception):
    """The load could not be made, or not every request was accepted: the numbers would mean nothing."""


class Load(msgspec.Struct):
    """One measurement. Latencies are seen by wrk, in a closed loop: a stall hides the requests it kept from being sent."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int


def need_wrk() -> str:
    """The path of wrk; raises `LoadError` saying how to get it."""
    path = shutil.which("wrk")
    if path is None:
        raise LoadError("wrk is missing: `apt-get install wrk` on Debian and Ubuntu, `brew install wrk` on macOS")
    return path


def write_bodies(path: Path, posted: Sequence[Posted]) -> Path:
    """Write bodies for `post`, one a line."""
    path.write_bytes(b"\n".join(each.body for each in posted) + b"\n")
    return path


def post(url: str, bodies: Path, authorization: str, seconds: int, connections: int = CONNECTIONS) -> Load:
    """Post for some seconds. Raises `LoadError` unless every answer is a success."""
    command = [need_wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(_SCRIPT), url]
    environment = os.environ | {"BENCH_BODIES": str(bodies), "BENCH_AUTHORIZATION": authorization}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 30, check=False)
    result = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if done.returncode or result is None:
        raise LoadError(f"wrk failed: {(done.stderr or done.stdout).strip()[-500:]}")
    load = msgspec.json.decode(result.removeprefix("RESULT "), type=Load)
    if load.refused or load.broken or not load.requests:
        raise LoadError(f"{url}: {load.refused} of {load.requests} refused, {load.broken} broken off")
    return load
