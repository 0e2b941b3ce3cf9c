"""`curbside demo`: run everything with a minute of simulated orders, and verify the ledger."""

import os
import sys
from typing import Annotated

import typer

from deploy.cli.output import console

_DATA = ".data/demo"
_NOT_FOR_A_DEMO = {"REDIS_URL", "CELERY_BROKER_URL", "DATABASE_URL", "ALERT_URLS", "ALERT_WEBHOOK_URL", "HANDLER_MODULES"}
"""Settings that would mix simulated orders with real data, or alert real people and services."""
_FAULTS = ("--duplicates=0.05", "--reordering=0.05", "--reverts=0.02", "--bad-bodies=0.01", "--bad-signatures=0.01")


def demo(
    duration: Annotated[float, typer.Option(min=1, help="Seconds during which simulated orders are sent.")] = 60.0,
    rate: Annotated[float, typer.Option(min=0.1, help="Posts per second.")] = 20.0,
) -> None:
    """Start everything as `curbside run` does, send simulated orders for a minute, verify the ledger, stop everything.

    The demo always starts its own servers and uses its own data directory (.data/demo, or CURBSIDE_DATA_DIR). Exit code 1
    if the ledger does not hold what is expected.

    Example: CURBSIDE_PORT=9000 curbside demo --duration 20
    """
    from deploy.local.one_off import OneOff  # noqa: PLC0415 - quick start
    from deploy.local.runner import run  # noqa: PLC0415 - quick start
    from deploy.local.terminal import Terminal  # noqa: PLC0415 - quick start

    environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_A_DEMO}
    environment["CURBSIDE_DATA_DIR"] = environment.get("CURBSIDE_DATA_DIR") or _DATA
    options = ("--verify", "--tell", f"--duration={duration}", f"--rate={rate}", *_FAULTS)
    simulation = OneOff((sys.executable, "-c", "from deploy.cli import main; main()", "simulate", *options))
    raise typer.Exit(run(environment, Terminal(console(), verbose=False), simulation))
