"""What a handler gets to write with: one transaction of the ledger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from schemas.events import Event
from schemas.settings import Settings
from workers.ledger.outbox import Message, channels_of
from workers.ledger.tables import outbox
from workers.ledger.upsert import inserted

LEASE = timedelta(seconds=30)
"""How long only the worker that leased an outbox row may send it."""


@dataclass(frozen=True)
class Alert:
    """A message to a person. Alerts with the same `idempotency_key` are one alert: it is sent once.

    `data` is for programs. Put no personal data in it or in the title.
    """

    idempotency_key: str
    topic: str
    title: str
    data: dict[str, Any]


class Alerts(NamedTuple):
    """The alerts of a transaction that are still to be sent."""

    leased: Sequence[Message] = ()
    """New alerts, leased to the caller: no other worker sends them before the lease ends."""
    waiting: bool = False
    """Whether there are others: alerts that were in the outbox before, or more than the caller's capacity."""

    def __bool__(self) -> bool:
        return bool(self.leased) or self.waiting


class Applied(NamedTuple):
    """The result of a committed batch: its alerts, and the events that failed although what could be read of them is applied."""

    alerts: Alerts = Alerts()
    failed: Sequence[tuple[Event, Exception]] = ()

    def __bool__(self) -> bool:
        return bool(self.alerts)


@dataclass
class UnitOfWork:
    """A connection inside the batch's one transaction, alerts that are sent if it commits, and events that failed in part."""

    begin: Callable[[], Connection]
    settings: Settings
    now: datetime
    alerts: list[Alert] = field(default_factory=list)
    failed: list[tuple[Event, Exception]] = field(default_factory=list)

    @cached_property
    def connection(self) -> Connection:
        """The connection. Its first use begins the transaction. Raises `DependencyUnavailableError`."""
        return self.begin()

    def alert(self, alert: Alert) -> None:
        """Send an alert after the commit: at least once, always under the same key."""
        self.alerts.append(alert)

    def fail(self, event: Event, error: Exception) -> None:
        """Make the event a failure, and commit all the same what this batch wrote, for this event too.

        For an event of which a part cannot be read: raising would take back the rest. The error decides whether it is retried, as
        if it had been raised.
        """
        self.failed.append((event, error))

    def write_outbox(self, capacity: int) -> Alerts:
        """Write the alerts of this transaction, one row for each channel, and lease the first `capacity` rows to the caller.

        The sorted order prevents deadlocks.
        """
        first_by_key = {alert.idempotency_key: alert for alert in reversed(self.alerts)}
        messages = [message for _, alert in sorted(first_by_key.items()) for message in self._messages(alert)]
        leases = [self.now + LEASE] * capacity + [None] * len(messages)
        rows = [
            {**message._asdict(), "due_at": self.now, "leased_until": lease}
            for message, lease in zip(messages, leases, strict=False)
        ]
        new = set(inserted(self.connection, outbox, rows))
        leased = [message for message in messages[:capacity] if (message.idempotency_key, message.channel) in new]
        return Alerts(leased, waiting=len(leased) < len(messages))

    def _messages(self, alert: Alert) -> Sequence[Message]:
        title = " ".join(alert.title.split())  # one line, whatever the order's id contains
        payload = orjson.dumps(alert.data).decode()
        return [
            Message(alert.idempotency_key, channel, alert.topic, title, payload, self.now)
            for channel in channels_of(self.settings)
        ]
