"""`curbside demo`: a run with a minute of simulated trade, and its verdict."""

import os
import sys
from typing import Annotated

import typer

from deploy.cli.output import console

_DATA = ".data/demo"
_NOT_FOR_A_DEMO = {"REDIS_URL", "CELERY_BROKER_URL", "DATABASE_URL", "ALERT_URLS", "ALERT_WEBHOOK_URL", "HANDLER_MODULES"}
"""What would have invented orders in real books, or told people and services of them."""
_FAULTS = ("--duplicates=0.05", "--reordering=0.05", "--reverts=0.02", "--bad-bodies=0.01", "--bad-signatures=0.01")


def demo(
    duration: Annotated[float, typer.Option(min=1, help="Seconds of trade.")] = 60.0,
    rate: Annotated[float, typer.Option(min=0.1, help="Posts a second.")] = 20.0,
) -> None:
    """Start everything as `curbside run` does, watch a minute of simulated trade, hear the verdict, stop everything.

    Always on its own servers, in a data folder of its own (.data/demo, or CURBSIDE_DATA_DIR). Exit code 1 if the ledger
    is not as it must be.

    Example: CURBSIDE_PORT=9000 curbside demo --duration 20
    """
    from deploy.local.one_off import Errand  # noqa: PLC0415 - quick start
    from deploy.local.runner import run  # noqa: PLC0415 - quick start
    from deploy.local.terminal import Screen  # noqa: PLC0415 - quick start

    environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_A_DEMO}
    environment["CURBSIDE_DATA_DIR"] = environment.get("CURBSIDE_DATA_DIR") or _DATA
    options = ("--verify", "--tell", f"--duration={duration}", f"--rate={rate}", *_FAULTS)
    trade = Errand((sys.executable, "-c", "from deploy.cli import main; main()", "simulate", *options))
    raise typer.Exit(run(environment, Screen(console(), verbose=False), trade))
