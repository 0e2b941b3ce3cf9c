"""A short run of `make chaos`: real processes under faults of the kinds below, and nothing is wrong."""

import json
import subprocess
import sys

from tests.chaos.child import ROOT

KINDS = (
    "broker-flushed",
    "bulk-killed",
    "handler-raising",
    "ingress-killed",
    "postgresql-backends-ended",
    "postgresql-killed",
    "postgresql-network-cut",
    "postgresql-read-only",
    "receiver-hang",
    "urgent-killed",
    "urgent-stopped",
    "valkey-connections-cut",
    "valkey-killed",
    "valkey-misconf",
    "valkey-network-truncated",
    "valkey-noreplicas",
)
"""What a run of these finds nothing wrong with. `python -m tests.chaos --list-kinds` lists all."""


def test_nothing_is_lost_doubled_or_left_under_load_and_faults() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--seconds=30", "--seed=7", "--rate=150", "--patience=60"]
    said = subprocess.run(
        [*command, f"--faults={len(KINDS)}", f"--kinds={','.join(KINDS)}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    summary = json.loads(next(line for line in said.stdout.splitlines() if line.startswith("{")))
    assert summary["acknowledged"] > 3000
    assert summary["faults"] > 5
