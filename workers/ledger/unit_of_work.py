"""One transaction of the ledger, as a handler sees it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import orjson
from sqlalchemy import Connection

from schemas.settings import Settings
from workers.channels import channels_of
from workers.ledger.tables import outbox
from workers.ledger.upsert import insert_new


@dataclass(frozen=True)
class Alert:
    """Something a person must hear of. `idempotency_key` names it for ever: said twice, it is sent once.

    `data` is what a program reads; no personal data belongs in it, nor in the title.
    """

    idempotency_key: str
    topic: str
    title: str
    data: dict[str, Any]


@dataclass
class UnitOfWork:
    """What a handler writes with: a connection inside the batch's one transaction, and alerts that go out if it commits."""

    begin: Callable[[], Connection]
    settings: Settings
    now: datetime
    alerts: list[Alert] = field(default_factory=list)

    @cached_property
    def connection(self) -> Connection:
        """The batch's transaction, begun when it is first asked for. Raises `Unreachable`."""
        return self.begin()

    def alert(self, alert: Alert) -> None:
        """Have an alert sent after the commit, at least once, always under the same key."""
        self.alerts.append(alert)

    def write_outbox(self) -> None:
        """Write the alerts of this transaction, one row for each channel; sorted, so that nobody waits in a circle."""
        alerts = sorted(self.alerts, key=lambda alert: alert.idempotency_key)
        insert_new(self.connection, outbox, [row for alert in alerts for row in self._rows(alert)])

    def _rows(self, alert: Alert) -> Sequence[dict[str, Any]]:
        return [
            {
                "idempotency_key": alert.idempotency_key,
                "channel": channel,
                "topic": alert.topic,
                "title": " ".join(alert.title.split()),  # one line, whatever an order's id holds
                "payload": orjson.dumps(alert.data).decode(),
                "created_at": self.now,
                "due_at": self.now,
            }
            for channel in channels_of(self.settings)
        ]
