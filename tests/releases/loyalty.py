"""A handler of a user's own, as written for 0.1.0: the names it imports are those of that release, and stay so.

It writes the order of every delivered event into a file, one line each time it is applied, and refuses orders named `refuse-…`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from workers.handler import Event, Kind, Reject, UnitOfWork, Unreachable, handler


@handler("loyalty", Kind.DELIVERED)
def loyalty(_: UnitOfWork, events: Sequence[Event]) -> None:
    """Apply, or refuse."""
    file = Path(os.environ["LOYALTY_FILE"])
    if not file.parent.is_dir():
        raise Unreachable("the loyalty service")
    orders = [order for event in events for order in event.order_ids]
    for order in orders:
        if order.startswith("refuse-"):
            raise Reject("no such customer")
    with file.open("a") as lines:
        lines.writelines(f"{order}\n" for order in orders)
