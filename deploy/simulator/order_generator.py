"""Generates a run's orders without end. The same seed and start give the same orders; ids are unique to the run."""

import random
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo

from deploy.simulator.afosto_lifecycle import OrderGroup
from deploy.simulator.catalog import envelope_lines, flat_lines
from deploy.simulator.envelope import Envelope
from deploy.simulator.flat import Flat
from deploy.simulator.instacart_lifecycle import TYPES, OrderLifecycle
from deploy.simulator.oddities import Oddity, oddities_of_order
from deploy.simulator.provider_events import ProviderEvent

ORDERS_EVERY = timedelta(seconds=6)
"""The time between the starts of two orders, on the provider's clock: some hundred orders are open at a time."""
_AFOSTO_SHARE, _FLAT_SHARE, _MAX_GROUP = 0.25, 0.5, 3
_FIRST_EVENT_ID = 1_201_895_966_044_343_904
_EVENT_IDS_PER_ORDER = 1000
_NAMESPACE = uuid.UUID("6d0c7a55-93a1-4c0b-8f0e-7b2f5a1d9c42")


class OrderGenerator:
    """Generates orders and their events. `zone` is the store's. Two orders start `every` so often, on the provider's clock.

    `reverts` is the share of steps reverted and repeated, `oddities` the share of Instacart's orders that are odd.
    """

    def __init__(self, seed: int, start: datetime, zone: tzinfo, every: timedelta, reverts: float, oddities: float) -> None:
        self._seed, self._start, self._zone, self._every, self._reverts = seed, start, zone, every, reverts
        self._oddities = oddities
        self._run = f"{round(start.timestamp() * 1000):x}-{seed}"
        self._first_event_id = _FIRST_EVENT_ID + uuid.uuid5(_NAMESPACE, self._run).int % 2**61

    def generate(self, most: int | None) -> Iterator[tuple[list[ProviderEvent], int]]:
        """Yield the events of an order or group of orders, in time order, with the number of orders; at most `most` orders."""
        number = 0
        while most is None or number < most:
            rng = random.Random(f"{self._seed} life {number}")  # noqa: S311 - the same in every run
            orders = 1
            if rng.random() < _AFOSTO_SHARE:
                orders = min(rng.randint(1, _MAX_GROUP), _MAX_GROUP if most is None else most - number)
                yield self._afosto(rng, number, orders), orders
            else:
                yield self._instacart(rng, number), orders
            number += orders

    def instacart_ids(self, number: int) -> tuple[str, str, str]:
        """Return the ids that an order has if it is Instacart's: in the flat dialect, as envelopes, and where ids are numbers."""
        order_id = f"fc-{self._run}-{number}"
        unique = uuid.uuid5(_NAMESPACE, order_id)
        return order_id, str(unique), str(10**15 + unique.int % 10**15)

    def _afosto(self, rng: random.Random, number: int, orders: int) -> list[ProviderEvent]:
        numbers = range(1000 + number, 1000 + number + orders)
        return OrderGroup(rng, self._start_of(number), numbers, _ids(f"{self._run}-{number}")).generate()

    def _instacart(self, rng: random.Random, number: int) -> list[ProviderEvent]:
        (flat_id, envelope_id, number_id), start = self.instacart_ids(number), self._start_of(number)
        fulfillment_type, is_flat = rng.choice(TYPES), rng.random() < _FLAT_SHARE
        oddities = oddities_of_order(rng, self._oddities)
        lines = (flat_lines if is_flat else envelope_lines)(rng, oddities)
        order_id = number_id if Oddity.PARTS in oddities else flat_id if is_flat else envelope_id
        dialect: Flat | Envelope
        if is_flat:
            dialect = Flat(rng, order_id, fulfillment_type, start, oddities)
        else:
            first_id = self._first_event_id + number * _EVENT_IDS_PER_ORDER
            dialect = Envelope(rng, order_id, fulfillment_type, first_id, self._zone, oddities)
        lifecycle = OrderLifecycle(rng, start, lines, fulfillment_type, self._reverts, oddities)
        return [dialect.encode(step) for step in lifecycle.generate()]

    def _start_of(self, number: int) -> datetime:
        return (self._start + number * self._every).replace(microsecond=0)


def _ids(name: str) -> Callable[[], uuid.UUID]:
    """Return a function that makes random-looking ids, the same in every run with this name."""
    numbers = iter(range(10**9))
    return lambda: uuid.uuid5(_NAMESPACE, f"{name} {next(numbers)}")
