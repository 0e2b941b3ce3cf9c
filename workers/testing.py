"""What the author of a handler needs to test it: recorded bodies as events, and a ledger in memory.

    from workers.testing import MemoryLedger, load_event

    def test_a_delivered_order_earns_points_once() -> None:
        with MemoryLedger(points.metadata) as ledger:
            ledger.apply_twice(points.points, load_event("instacart", Path("delivered.json")))
            assert len(ledger.rows("points")) == 1

The decoders, migrations, tables and transactions are those of production; only the database is SQLite in memory.
"""

import secrets
from datetime import UTC, tzinfo
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from sqlalchemy import MetaData, select

from schemas.decoding import decode
from schemas.events import Event
from schemas.settings import Settings, load
from workers.errors import HandlerError
from workers.handler import Alert, Apply, Handler, registered
from workers.ledger.ledger import Ledger
from workers.ledger.outbox import LOG
from workers.ledger.tables import metadata as built_in
from workers.ledger.tables import outbox

Row = dict[str, Any]

EVENT_ID = "1772366400000-0"
"""The id of an event that was received at 2026-03-01T12:00:00Z."""


def load_event(provider: str, body: bytes | Path, event_id: str = EVENT_ID, zone: tzinfo = UTC) -> Event:
    """Decode a body, or the file that holds one, as a worker does. Raises `DecodeError`.

    `event_id` begins with the time of receipt in milliseconds; `zone` is where a time without a zone is read. A provider of
    your own is known once `schemas.provider_modules.load_providers` has loaded its module.
    """
    return decode(provider, body.read_bytes() if isinstance(body, Path) else body, event_id, zone)


class MemoryLedger:
    """A migrated, empty ledger that exists as long as its `with` block. Use it in one thread.

    `own`: the tables that your handlers write to; they are created too. `environment`: settings by the names of their variables
    (`LATE_ALERT_MINUTES="30"`). Nothing is read from the process' environment, and no secret is real.
    """

    def __init__(self, *own: MetaData, **environment: str) -> None:
        self.settings: Settings = load(_nobodys_secrets() | environment | {"DATABASE_URL": "sqlite:///:memory:"})
        self._ledger = Ledger(self.settings)
        self._ledger.migrate()
        self._tables = {name: table for each in (built_in, *own) for name, table in each.tables.items()}
        for each in own:
            each.create_all(self._ledger.engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Forget the ledger."""
        self._ledger.close()

    def apply(self, handler: Apply, *events: Event) -> None:
        """Apply the events as one batch, in one transaction. Raises what the handler raises: then nothing is written.

        `handler` is the decorated function. Raises ValueError for an event that no worker would give it.
        """
        known = handler_of(handler)
        for event in events:
            if not known.wants(event.kind):
                raise ValueError(f"the handler {known.name!r} is not registered for {event.kind.value} ({event.name})")
        self._ledger.apply(known, events)

    def apply_twice(self, handler: Apply, *events: Event) -> None:
        """Apply the batch, then again, then its events one by one, as a worker may after a crash.

        Raises AssertionError, which names the tables, if that changes a row or writes another alert.
        """
        self.apply(handler, *events)
        first = self._all_rows()
        for batch in (events, *((event,) for event in events)):
            self.apply(handler, *batch)
            changed = [name for name, rows in self._all_rows().items() if rows != first[name]]
            if changed:
                raise AssertionError(
                    f"{handler_of(handler).name} is not idempotent: applied again, it changed {', '.join(changed)}"
                )

    def rows(self, table: str) -> list[Row]:
        """The rows of a table, in the order of its primary key."""
        its = self._tables[table]
        with self._ledger.read() as connection:
            return [dict(row) for row in connection.execute(select(its).order_by(*its.primary_key)).mappings()]

    def alerts(self) -> list[Alert]:
        """The alerts that were written, in the order of their idempotency keys. `data` is as JSON has it: times are text."""
        rows = [row for row in self.rows(outbox.name) if row["channel"] == LOG]
        return [Alert(row["idempotency_key"], row["topic"], row["title"], orjson.loads(row["payload"])) for row in rows]

    def _all_rows(self) -> dict[str, list[Row]]:
        return {name: self.rows(name) for name in self._tables}


def handler_of(function: Apply) -> Handler:
    """What `@handler` registered for this function. Raises `HandlerError` if nothing was."""
    found = [each for each in registered([function.__module__]) if each.apply is function]
    if not found:
        raise HandlerError(f"{function!r} is no handler: it needs @handler(…)")
    return found[0]


def _nobodys_secrets() -> dict[str, str]:
    """Settings without a default, made up: nothing listens there, and nothing is signed."""
    made = ("INSTACART_CLIENT_ID", "INSTACART_CLIENT_SECRET", "TOKEN_SIGNING_KEYS", "AFOSTO_SECRETS")
    return {"REDIS_URL": "redis://127.0.0.1:1/0", **{name: secrets.token_hex(32) for name in made}}
