"""Faults of the work itself: events that kill a worker, handlers that are slow or raise, a receiver of alerts that misbehaves."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.chaos.chaos_handlers import POISON, RAISING, SLOW
from tests.chaos.kinds import Turn, fault
from tests.chaos.receiver import Behaviour
from tests.chaos.site import Site

_BURST = 400
"""Events for the slow handler at once: twenty seconds of work."""
_POSTING_AT_ONCE = 8


def _poison(event: str, handler: str, site: Site, turn: Turn) -> None:
    number = len(site.extras)
    site.post(f"{POISON}{number}", event, handler)
    site.wait(turn.seconds)


fault("poison-bulk", "an event that kills the process of its handler, in a bulk worker", "handlers", 8, 12)(
    partial(_poison, "rescheduled", "chaos_patient")
)
fault("poison-urgent", "the same in an urgent worker, beside the dispatch and the alerts", "handlers", 8, 12)(
    partial(_poison, "canceled", "chaos_urgent")
)


@fault("handler-slow", f"a handler takes 50 ms for each event, and {_BURST} come at once", "handlers", 20, 25)
def slow_down(site: Site, turn: Turn) -> None:
    """Slow a handler down."""
    number = len(site.extras)
    with site.switch(SLOW):
        with ThreadPoolExecutor(_POSTING_AT_ONCE) as pool:
            for each in range(_BURST):
                pool.submit(site.post, f"slow-{number}-{each}", "rescheduled")
        site.wait(turn.seconds)


@fault("handler-raising", "two handlers raise for every event", "handlers", 2, 5)
def raise_errors(site: Site, turn: Turn) -> None:
    """Have handlers fail."""
    with site.switch(RAISING):
        site.wait(turn.seconds)


def _misbehave(behaviour: Behaviour, site: Site, turn: Turn) -> None:
    site.receiver.command("behave", **{"as": behaviour})
    try:
        site.wait(turn.seconds)
    finally:
        site.receiver.command("behave", **{"as": Behaviour.OK})


for _behaviour, _about in (
    (Behaviour.REFUSE, "the receiver of alerts answers 500"),
    (Behaviour.HANG, "the receiver of alerts does not answer"),
    (Behaviour.DRIP, "the receiver of alerts sends its answer a byte every two seconds"),
):
    fault(f"receiver-{_behaviour}", _about, "receiver", 5, 12)(partial(_misbehave, _behaviour))
