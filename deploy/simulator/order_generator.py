"""The lives of a run's orders, one after another without end. Same seed and start, same lives; ids are the run's own."""

import random
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo

from deploy.simulator.afosto_life import Group
from deploy.simulator.catalog import envelope_lines, flat_lines
from deploy.simulator.envelope import Envelope
from deploy.simulator.flat import Flat
from deploy.simulator.instacart_life import TYPES, Life
from deploy.simulator.provider_events import Fact

ORDERS_EVERY = timedelta(seconds=6)
"""How far apart orders begin, on the provider's clock: some hundred are under way at a time."""
_AFOSTO_SHARE, _FLAT_SHARE, _ORDERS_OF_A_GROUP = 0.25, 0.5, 3
_FIRST_EVENT_ID = 1_201_895_966_044_343_904
_EVENT_IDS_OF_AN_ORDER = 1000
_NAMESPACE = uuid.UUID("6d0c7a55-93a1-4c0b-8f0e-7b2f5a1d9c42")


class Lives:
    """A run's lives. `zone` is the store's, `reverts` how often a step is taken back and made again."""

    def __init__(self, seed: int, start: datetime, zone: tzinfo, reverts: float) -> None:
        self._seed, self._start, self._zone, self._reverts = seed, start, zone, reverts
        self._run = f"{round(start.timestamp() * 1000):x}-{seed}"
        self._first_event_id = _FIRST_EVENT_ID + uuid.uuid5(_NAMESPACE, self._run).int % 2**61

    def live(self, most: int | None) -> Iterator[tuple[list[Fact], int]]:
        """Each life in time order, with the number of its orders; no more orders than `most`."""
        number = 0
        while most is None or number < most:
            rng = random.Random(f"{self._seed} life {number}")  # noqa: S311 - the same in every run
            orders = 1
            if rng.random() < _AFOSTO_SHARE:
                orders = min(rng.randint(1, _ORDERS_OF_A_GROUP), _ORDERS_OF_A_GROUP if most is None else most - number)
                yield self._afosto(rng, number, orders), orders
            else:
                yield self._instacart(rng, number), orders
            number += orders

    def _afosto(self, rng: random.Random, number: int, orders: int) -> list[Fact]:
        numbers = range(1000 + number, 1000 + number + orders)
        return Group(rng, self._begins(number), numbers, _ids(f"{self._run}-{number}")).live()

    def _instacart(self, rng: random.Random, number: int) -> list[Fact]:
        order_id, begins = f"fc-{self._run}-{number}", self._begins(number)
        fulfillment_type, is_flat = rng.choice(TYPES), rng.random() < _FLAT_SHARE
        lines = flat_lines(rng) if is_flat else envelope_lines(rng)
        teller: Flat | Envelope
        if is_flat:
            teller = Flat(rng, order_id, fulfillment_type, begins)
        else:
            first_id = self._first_event_id + number * _EVENT_IDS_OF_AN_ORDER
            teller = Envelope(rng, str(uuid.uuid5(_NAMESPACE, order_id)), fulfillment_type, first_id, self._zone)
        return [teller.tell(step) for step in Life(rng, begins, lines, fulfillment_type, self._reverts).live()]

    def _begins(self, number: int) -> datetime:
        return (self._start + number * ORDERS_EVERY).replace(microsecond=0)


def _ids(name: str) -> Callable[[], uuid.UUID]:
    """Ids that look like any, and are the same in every run of this name."""
    numbers = iter(range(10**9))
    return lambda: uuid.uuid5(_NAMESPACE, f"{name} {next(numbers)}")
