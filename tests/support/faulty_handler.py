"""A user's handler (`HANDLER_MODULES`) that fails on orders named `bug-…` while the file `FAULTY_HANDLER_BUG` exists.

Its error quotes a customer, as a careless handler does. It applies an event by inserting a row for each order.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from workers.handler import Event, Kind, RetryPolicy, UnitOfWork, handler

CUSTOMER = "jane.roe@example.org"
TABLE = "CREATE TABLE faulty_orders (order_id VARCHAR PRIMARY KEY)"
_INSERT = text("INSERT INTO faulty_orders (order_id) VALUES (:order_id) ON CONFLICT DO NOTHING")
_PAUSE = timedelta(milliseconds=300)
_ATTEMPTS = int(os.environ.get("FAULTY_HANDLER_ATTEMPTS", "1000"))


@handler("faulty", Kind.PICKING, retry=RetryPolicy(attempts=_ATTEMPTS, first=_PAUSE, longest=_PAUSE))
def faulty(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Insert a row for each order."""
    has_bug = Path(os.environ["FAULTY_HANDLER_BUG"]).exists()
    for event in events:
        for order_id in event.order_ids:
            if has_bug and order_id.startswith("bug-"):
                _find_shelf(order_id)
            work.connection.execute(_INSERT, {"order_id": order_id})


def _find_shelf(order_id: str) -> None:
    try:
        raise KeyError(f"{order_id} of {CUSTOMER}")
    except KeyError as error:
        raise ValueError(f"no shelf for:\n{CUSTOMER}\n{order_id}") from error
