"""A handler of a user's own (`HANDLER_MODULES`) with a bug that is there as long as a file is, `PANTRY_BUG`.

It meets orders named `bug-…`, and quotes a customer, as a careless handler does. What is applied is a row for each order.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from workers.handler import Event, Kind, RetryPolicy, UnitOfWork, handler

CUSTOMER = "jane.roe@example.org"
TABLE = "CREATE TABLE pantry (order_id VARCHAR PRIMARY KEY)"
_INSERT = text("INSERT INTO pantry (order_id) VALUES (:order_id) ON CONFLICT DO NOTHING")
_PAUSE = timedelta(milliseconds=300)
_ATTEMPTS = int(os.environ.get("PANTRY_ATTEMPTS", "1000"))


@handler("pantry", Kind.PICKING, retry=RetryPolicy(attempts=_ATTEMPTS, first=_PAUSE, longest=_PAUSE))
def pantry(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Put each order into the pantry."""
    has_bug = Path(os.environ["PANTRY_BUG"]).exists()
    for event in events:
        for order_id in event.order_ids:
            if has_bug and order_id.startswith("bug-"):
                _look_up(order_id)
            work.connection.execute(_INSERT, {"order_id": order_id})


def _look_up(order_id: str) -> None:
    try:
        raise KeyError(f"{order_id} of {CUSTOMER}")
    except KeyError as error:
        raise ValueError(f"no shelf for:\n{CUSTOMER}\n{order_id}") from error
