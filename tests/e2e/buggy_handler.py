"""A user's handler (`HANDLER_MODULES`) with a bug that tests switch on and off by a file.

An order named `bug-…` meets the bug and is tried again; one named `reject-…` is refused for good. What is applied is written
into a file beside the switch, once for each time.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from workers.handler import Event, Kind, PermanentError, RetryPolicy, UnitOfWork, handler

_SHELVES: dict[str, int] = {}
_PAUSE = timedelta(milliseconds=int(os.environ.get("PAUSE_OF_THE_TESTS", "600")))
CUSTOMER, SURNAME = "jane.roe@example.org", "Janssen"


@handler("buggy", Kind.PICKING, retry=RetryPolicy(attempts=3, first=_PAUSE, longest=_PAUSE))
def buggy(_: UnitOfWork, events: Sequence[Event]) -> None:
    """Apply, or fail as the order's name says. The error quotes a customer, as a careless handler does."""
    bug = Path(os.environ["BUG_OF_THE_TESTS"])
    orders = [order for event in events for order in event.order_ids]
    if bug.exists():
        for order in orders:
            if order.startswith("bug-"):
                _find_shelf(order)
            if order.startswith("reject-"):
                raise PermanentError("the shop is closed")
    with bug.with_name("applied").open("a") as applied:
        applied.writelines(f"{order}\n" for order in orders)


def _find_shelf(order: str) -> None:
    try:
        _SHELVES[CUSTOMER]
    except KeyError as error:
        raise ValueError(f"no shelf for {order}:\n{CUSTOMER}\n{SURNAME}") from error
