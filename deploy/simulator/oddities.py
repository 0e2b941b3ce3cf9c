"""What happens to some orders, though no document tells of it: what consumers of such webhooks report. The caller seeds the RNG."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from deploy.simulator.provider_events import Line

_SHARE = 0.4
_SHUFFLED, _DROPPED, _ODD_TIME = 0.7, 0.15, 0.3
_FAST = timedelta(hours=1)
_UNSET, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class Oddity(StrEnum):
    """One way in which an order is odd."""

    LISTS = "lists"
    """Item lists come in another order each time, and lines are missing from later ones."""
    REPEATS = "repeats"
    """Two lines of one product, with or without line numbers."""
    CODES = "codes"
    """The product code that a line is known by comes only with later lists."""
    TAKEN_BACK = "taken back"
    """A refund or a replacement is taken back."""
    RESCHEDULES = "reschedules"
    """The order is rescheduled to an earlier time, before and after a late delivery."""
    AFTER_END = "after end"
    """The order goes on after it was delivered or canceled."""
    SAME_TIME = "same time"
    """Two events have the same time."""
    NO_TIME = "no time"
    """An event has no time."""
    CLOCK = "clock"
    """The provider's clock is wrong: an hour fast or slow, not set, at its end."""
    PARTS = "parts"
    """Parts of the body are of another type than documented."""


Oddities = frozenset[Oddity]


def oddities_of_order(rng: random.Random, share: float) -> Oddities:
    """Return how an order is odd: not at all, or in some ways."""
    if rng.random() >= share:
        return frozenset()
    return frozenset(each for each in Oddity if rng.random() < _SHARE)


def listed(lines: Sequence[Line], changed: int | None, rng: random.Random, oddities: Oddities) -> tuple[Line, ...]:
    """Return the lines as a list shows them. `changed` is the number of the line that the list is about; it is never missing.

    Nor is one of two lines of a product: of the one that is left nobody could tell which it is.
    """
    shown = list(lines)
    if Oddity.LISTS in oddities:
        products = [line.product for line in lines]
        shown = [
            line for line in shown if line.number == changed or rng.random() >= _DROPPED or products.count(line.product) > 1
        ]
        if rng.random() < _SHUFFLED:
            rng.shuffle(shown)
    return tuple(shown)


def sent_time(at: datetime, rng: random.Random, oddities: Oddities) -> datetime | None:
    """Return the time that the body of an event states; None if it states none."""
    if Oddity.NO_TIME in oddities and rng.random() < _ODD_TIME:
        return None
    if Oddity.CLOCK in oddities and rng.random() < _ODD_TIME:
        return rng.choice((at + _FAST, at - _FAST, _UNSET, _LAST))
    return at
