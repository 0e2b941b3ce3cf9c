"""Reads the ledger's rows and the failures on record of a run's orders."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from redis import Redis
from sqlalchemy import select

from schemas import keys
from schemas.failures import Failure, decode_failure
from workers.ledger.ledger import Ledger
from workers.ledger.tables import customer_mia_alerts, late_deliveries, order_events, orders, refunds, replacements

TABLES = (orders, order_events, replacements, refunds, late_deliveries, customer_mia_alerts)
_BATCH = 500

Row = dict[str, Any]
Rows = dict[str, list[Row]]
"""The rows of one order, by table."""
NO_ROWS: Rows = {table.name: [] for table in TABLES}


def read_orders(ledger: Ledger, order_ids: Sequence[str]) -> dict[str, Rows]:
    """Return the rows of each order that has any. Raises `DependencyUnavailableError`."""
    found: dict[str, Rows] = defaultdict(lambda: {table.name: [] for table in TABLES})
    with ledger.read() as connection:
        for some in _batches(order_ids):
            for table in TABLES:
                query = select(table).where(table.c.order_id.in_(some)).order_by(*table.primary_key)
                for row in connection.execute(query).mappings():
                    found[row["order_id"]][table.name].append(dict(row))
    return found


def read_failures(client: Redis) -> dict[tuple[int, int], list[Failure]]:
    """Return all failures on record, by the id of the event that failed."""
    found: dict[tuple[int, int], list[Failure]] = defaultdict(list)
    records: Any = client.hvals(keys.FAILURES)
    for failure in map(decode_failure, records):
        milliseconds, _, sequence = failure.event_id.partition("-")
        found[int(milliseconds), int(sequence)].append(failure)
    return found


def _batches(order_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (order_ids[first : first + _BATCH] for first in range(0, len(order_ids), _BATCH))
