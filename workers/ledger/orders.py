"""Locks and queries on orders that several handlers share."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from schemas.events import Event, Kind
from workers.ledger.event_order import stored_time
from workers.ledger.lookups import Lookup, Name
from workers.ledger.tables import order_events, orders
from workers.ledger.upsert import insert_and_lock

TERMINAL = frozenset({Kind.DELIVERED, Kind.CANCELED})
"""Kinds that end an order, unless it reverts."""

_its = order_events.c
_ENDS = Lookup(
    order_events,
    select(_its.provider, _its.order_id, _its.event_id, _its.ordered_at, _its.occurred_at, _its.received_at).where(
        _its.kind.in_(sorted(TERMINAL))
    ),
)


def names_of(event: Event) -> list[Name]:
    """The orders that an event names."""
    return [(event.provider, order_id) for order_id in event.order_ids]


def lock_orders(connection: Connection, names: Iterable[Name]) -> None:
    """Lock these orders until the transaction ends.

    It locks their rows in `orders`, and inserts the missing ones. The sorted order prevents deadlocks.
    """
    rows = [{"provider": provider, "order_id": order_id} for provider, order_id in sorted(set(names))]
    insert_and_lock(connection, orders, rows)


class End(NamedTuple):
    """An event that ended an order, and the time that orders it."""

    at: datetime
    event_id: str

    def arrived_before(self, event_id: str) -> bool:
        """Whether the ingress received it before the event `event_id`."""
        return _arrival(self.event_id) < _arrival(event_id)


def ends_of(connection: Connection, names: Collection[Name]) -> dict[Name, list[End]]:
    """The events that ended each of these orders, earliest first."""
    ends: dict[Name, list[End]] = defaultdict(list)
    for provider, order_id, event_id, *times in _ENDS.rows(connection, names):
        ends[provider, order_id].append(End(stored_time(*times), event_id))
    for each in ends.values():
        each.sort()
    return ends


def _arrival(event_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in event_id.split("-"))
