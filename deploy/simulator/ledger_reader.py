"""Reads the ledger's rows and the failures on record of a run's orders."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from redis import Redis
from sqlalchemy import Connection, Select, select

from deploy.simulator.applied import EventId, Row, as_text, received_at
from deploy.simulator.provider_events import AFOSTO, INSTACART
from schemas import keys
from schemas.failures import Failure, read_failure
from workers.ledger.ledger import Ledger
from workers.ledger.tables import customer_mia_alerts, late_deliveries, order_events, orders, outbox, refunds, replacements

EFFECTS = (order_events, replacements, refunds, late_deliveries, customer_mia_alerts)
TABLES = (orders, *EFFECTS)
_BATCH = 500
_KEY_PARTS = 4

Rows = dict[str, list[Row]]
"""The rows of one order, by table."""
NO_ROWS: Rows = {table.name: [] for table in (*TABLES, outbox)}


class Run(NamedTuple):
    """What belongs to a run: all order ids that it has or could have, and the inbox ids of its posts."""

    order_ids: Sequence[str]
    event_ids: Collection[EventId]


def read_run(ledger: Ledger, run: Run) -> dict[str, Rows]:
    """Return the rows of each order that has any: of the run's orders, and of others that name an event of the run.

    The latter have no index: each table is read once. Raises `DependencyUnavailableError`.
    """
    found: dict[str, Rows] = defaultdict(lambda: {name: [] for name in NO_ROWS})
    own, event_ids = frozenset(run.order_ids), frozenset(map(as_text, run.event_ids))
    with ledger.read() as connection:
        for some in _batches(run.order_ids):
            for table in TABLES:
                its = table.c
                query = select(table).where(its.provider.in_((INSTACART, AFOSTO)), its.order_id.in_(some))
                for row in _stream(connection, query.order_by(*table.primary_key)):
                    found[row["order_id"]][table.name].append(row)
        for name, row in _others(connection, run.event_ids):
            if row["order_id"] not in own and row["event_id"] in event_ids:
                found[row["order_id"]][name].append(row)
        for row in _stream(connection, select(outbox).order_by(*outbox.primary_key)):
            order_id = _order_of(row)
            if order_id in own or orjson.loads(row["payload"]).get("event_id") in event_ids:
                found[order_id][outbox.name].append(row)
    return found


def _others(connection: Connection, event_ids: Collection[EventId]) -> Iterator[tuple[str, Row]]:
    """Yield all rows that were received while the run's events were."""
    if event_ids:
        bounds = received_at(min(event_ids)), received_at(max(event_ids))
        for table in EFFECTS:
            for row in _stream(connection, select(table).where(table.c.received_at.between(*bounds))):
                yield table.name, row


def _order_of(alert: Row) -> str:
    """Return the order that an alert's key names: `topic:provider:order:identity`."""
    key: str = alert["idempotency_key"]
    parts = key.split(":")
    return parts[2] if len(parts) == _KEY_PARTS else key


def _stream(connection: Connection, query: Select[Any]) -> Iterator[Row]:
    """Yield the rows, without holding all of them."""
    for row in connection.execute(query, execution_options={"yield_per": _BATCH}).mappings():
        yield dict(row)


def read_failures(client: Redis) -> dict[EventId, list[Failure]]:
    """Return all failures on record, by the id of the event that failed."""
    found: dict[EventId, list[Failure]] = defaultdict(list)
    records: Any = client.hgetall(keys.FAILURES)
    for failure in (read_failure(field.decode(), record) for field, record in records.items()):
        milliseconds, _, sequence = failure.event_id.partition("-")
        found[int(milliseconds), int(sequence)].append(failure)
    return found


def _batches(order_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (order_ids[first : first + _BATCH] for first in range(0, len(order_ids), _BATCH))
