"""Handlers that misbehave: the workers of the program load this file, by itself, through HANDLER_MODULES.

It uses nothing of `tests`, so that the workers of another commit load it too. What they do now is told by files in the folder
`CHAOS_SWITCHES`. Each event leaves one row in `chaos_effects`, and one line in the file `calls`, which stands for an outside call.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import text

from workers.handler import URGENT, Event, Kind, UnitOfWork, handler

SLOW, RAISING, CALLS = "slow", "raising", "calls"
POISON, POISONED = "poison-", 139
"""An event of an order whose id begins so ends the worker's process, with this exit code, as a segmentation fault does."""
SLOW_SECONDS = 0.05
_SWITCHES = Path(os.environ.get("CHAOS_SWITCHES", "."))
_INSERT = text(
    "INSERT INTO chaos_effects (handler, order_id, identity, event_id) VALUES (:handler, :order_id, :identity, :event_id)"
    " ON CONFLICT DO NOTHING"
)


@handler("chaos_patient", Kind.RESCHEDULED)
def chaos_patient(work: UnitOfWork, events: Sequence[Event]) -> None:
    """A handler with the default retry policy."""
    _apply("chaos_patient", work, events)


@handler("chaos_urgent", Kind.CANCELED, retry=URGENT)
def chaos_urgent(work: UnitOfWork, events: Sequence[Event]) -> None:
    """A handler that runs beside the dispatcher and the alerts."""
    _apply("chaos_urgent", work, events)


def _apply(name: str, work: UnitOfWork, events: Sequence[Event]) -> None:
    is_slow = (_SWITCHES / SLOW).exists() and name == "chaos_patient"
    if (_SWITCHES / RAISING).exists():
        raise RuntimeError("this handler raises on purpose")
    rows = []
    with (_SWITCHES / CALLS).open("a") as calls:
        for event in events:
            order_id = event.order_ids[0]
            if order_id.startswith(POISON):
                os._exit(POISONED)
            if is_slow:
                time.sleep(SLOW_SECONDS)
                calls.write(f"{name} {event.event_id}\n")
            rows.append({"handler": name, "order_id": order_id, "identity": event.identity, "event_id": event.event_id})
    work.connection.execute(_INSERT, rows)
