"""A user's handler (`HANDLER_MODULES`) that logs each call, takes `DEADLY_SECONDS` an event, and ends its process on some orders.

`exit-…`: as `os._exit` does; `segv-…`: as a segmentation fault; `system-exit-…`: as `sys.exit`; `hang-…`: it never returns.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from workers.handler import Event, Kind, RetryPolicy, UnitOfWork, handler

TABLE = "CREATE TABLE IF NOT EXISTS deadly_orders (order_id VARCHAR PRIMARY KEY)"
_INSERT = text("INSERT INTO deadly_orders (order_id) VALUES (:order_id) ON CONFLICT DO NOTHING")
_SECONDS = float(os.environ.get("DEADLY_SECONDS", "0"))
_TIMEOUT = timedelta(seconds=float(os.environ["DEADLY_TIMEOUT"])) if "DEADLY_TIMEOUT" in os.environ else None
_TWICE = RetryPolicy(attempts=2, first=timedelta(milliseconds=100), longest=timedelta(milliseconds=100))


@handler("deadly", Kind.PICKING, retry=_TWICE, timeout=_TIMEOUT)
def deadly(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Insert a row for each order. No transaction is open before: a frozen process would lock SQLite."""
    order_ids = sorted(order_id for event in events for order_id in event.order_ids)
    for order_id in order_ids:
        with Path(os.environ["DEADLY_LOG"]).open("a") as log:
            log.write(f"{os.getpid()} {order_id}\n")
        time.sleep(_SECONDS)
        if order_id.startswith("exit-"):
            os._exit(139)
        if order_id.startswith("segv-"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if order_id.startswith("system-exit-"):
            sys.exit(1)
        if order_id.startswith("hang-"):
            threading.Event().wait()
    work.connection.execute(_INSERT, [{"order_id": order_id} for order_id in order_ids])
