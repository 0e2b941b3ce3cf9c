"""One transaction of the ledger, as a handler sees it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from schemas.settings import Settings
from workers.ledger.outbox import Message, channels_of
from workers.ledger.tables import outbox
from workers.ledger.upsert import inserted

LEASE = timedelta(seconds=30)
"""How long a row of the outbox is one worker's to send."""


@dataclass(frozen=True)
class Alert:
    """Something a person must hear of. `idempotency_key` names it for ever: said twice, it is sent once.

    `data` is what a program reads; no personal data belongs in it, nor in the title.
    """

    idempotency_key: str
    topic: str
    title: str
    data: dict[str, Any]


class Alerts(NamedTuple):
    """What a transaction has left to be sent."""

    leased: Sequence[Message] = ()
    """New, and the caller's to send at once: nobody else does before their lease is over."""
    waiting: bool = False
    """Whether there are others: such as were written before, or more than the caller takes."""

    def __bool__(self) -> bool:
        return bool(self.leased) or self.waiting


@dataclass
class UnitOfWork:
    """What a handler writes with: a connection inside the batch's one transaction, and alerts that go out if it commits."""

    begin: Callable[[], Connection]
    settings: Settings
    now: datetime
    alerts: list[Alert] = field(default_factory=list)

    @cached_property
    def connection(self) -> Connection:
        """The batch's transaction, begun when it is first asked for. Raises `DependencyUnavailableError`."""
        return self.begin()

    def alert(self, alert: Alert) -> None:
        """Have an alert sent after the commit, at least once, always under the same key."""
        self.alerts.append(alert)

    def write_outbox(self, room: int) -> Alerts:
        """Write the alerts of this transaction, one row for each channel, and lease the first `room` rows to the caller.

        Sorted, so that nobody waits in a circle.
        """
        first_said = {alert.idempotency_key: alert for alert in reversed(self.alerts)}
        messages = [message for _, alert in sorted(first_said.items()) for message in self._messages(alert)]
        leases = [self.now + LEASE] * room + [None] * len(messages)
        rows = [
            {**message._asdict(), "due_at": self.now, "leased_until": lease}
            for message, lease in zip(messages, leases, strict=False)
        ]
        new = set(inserted(self.connection, outbox, rows))
        leased = [message for message in messages[:room] if (message.idempotency_key, message.channel) in new]
        return Alerts(leased, waiting=len(leased) < len(messages))

    def _messages(self, alert: Alert) -> Sequence[Message]:
        title = " ".join(alert.title.split())  # one line, whatever an order's id holds
        payload = orjson.dumps(alert.data).decode()
        return [
            Message(alert.idempotency_key, channel, alert.topic, title, payload, self.now)
            for channel in channels_of(self.settings)
        ]
