"""What a handler gets to write with: one transaction of the ledger."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, and_, bindparam, select, tuple_, update

from schemas.events import Event
from schemas.parsing.durations import duration_text
from schemas.settings import Settings
from workers.ledger.ages import age_of, age_text
from workers.ledger.outbox import LOG, Message, channels_of
from workers.ledger.tables import outbox
from workers.ledger.upsert import Key, Row, inserted

LEASE = timedelta(seconds=30)
"""How long only the worker that leased an outbox row may send it."""


@dataclass(frozen=True)
class Alert:
    """A message to a person. Alerts with the same `idempotency_key` are one alert: it is sent once.

    `data` is for programs. Put no personal data in it or in the title. `happened_at`: when it happened that the alert tells of. If
    that is longer ago than `ALERT_MAX_AGE`, the alert is recorded and not sent. None: it is sent whatever its age.
    """

    idempotency_key: str
    topic: str
    title: str
    data: dict[str, Any]
    happened_at: datetime | None = None


class Alerts(NamedTuple):
    """The alerts of a transaction that are still to be sent."""

    leased: Sequence[Message] = ()
    """New alerts, leased to the caller: no other worker sends them before the lease ends."""
    waiting: bool = False
    """Whether there are others: alerts that were in the outbox before, or more than the caller's capacity."""
    not_sent: Sequence[str] = ()
    """Titles of new alerts that were too old to be sent, each with the reason."""

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

    def write_outbox(self, capacity: Mapping[str, int]) -> Alerts:
        """Write the alerts of this transaction, one row for each channel, and lease the first `capacity` rows of each channel.

        Alerts that are too old are written as not to be sent. The sorted order prevents deadlocks.
        """
        alerts = self._one_of_each_key()
        too_old = {alert.idempotency_key: why for alert in alerts if (why := self._too_old(alert))}
        messages = [message for alert in alerts for message in self._messages(alert)]
        due = [message for message in messages if message.idempotency_key not in too_old]
        leased = set(_first_of_each_channel(due, capacity))
        rows = [self._row(message, too_old.get(message.idempotency_key), leased=message in leased) for message in messages]
        new = set(inserted(self.connection, outbox, rows))
        can_be_dropped = {alert.idempotency_key for alert in alerts if alert.happened_at}
        new |= self._revive([row for row in rows if not row["dropped"] and row["idempotency_key"] in can_be_dropped], new)
        noted = [each for each in messages if each.idempotency_key in too_old and each.channel == LOG and _key(each) in new]
        return Alerts(
            [each for each in due if each in leased and _key(each) in new],
            waiting=any(each not in leased or _key(each) not in new for each in due),
            not_sent=[f"{each.title}: {too_old[each.idempotency_key]}" for each in noted],
        )

    def _one_of_each_key(self) -> list[Alert]:
        """The first alert of each key; if it is too old, the first that is not. Sorted."""
        chosen: dict[str, Alert] = {}
        for alert in self.alerts:
            known = chosen.setdefault(alert.idempotency_key, alert)
            if known is not alert and self._too_old(known) and not self._too_old(alert):
                chosen[alert.idempotency_key] = alert
        return [alert for _, alert in sorted(chosen.items())]

    def _too_old(self, alert: Alert) -> str | None:
        """Why an alert is not sent; None if it is."""
        limit = self.settings.alert_max_age
        if not limit or alert.happened_at is None or (age := age_of(alert.happened_at, self.now)) <= limit:
            return None
        return f"not sent: {age_text(age)} old when handled, ALERT_MAX_AGE is {duration_text(limit)}"

    def _row(self, message: Message, not_sent: str | None, *, leased: bool) -> Row:
        return {
            **message._asdict(),
            "due_at": self.now,
            "leased_until": self.now + LEASE if leased else None,
            "sent_at": self.now if not_sent else None,
            "dropped": not_sent is not None,
            "last_error": not_sent,
        }

    def _revive(self, rows: Sequence[Row], new: Collection[Key]) -> set[Key]:
        """Make those of these rows due that an older alert of their key has left as not to be sent. Returns their keys."""
        its = outbox.c
        known = {key: row for row in rows if (key := (row["idempotency_key"], row["channel"])) not in new}
        if not known:
            return set()
        query = select(its.idempotency_key, its.channel).where(
            tuple_(its.idempotency_key, its.channel).in_(list(known)), its.dropped, its.attempts == 0
        )
        found = [(key, channel) for key, channel in self.connection.execute(query)]
        if found:
            its_key = and_(its.idempotency_key == bindparam("its_key"), its.channel == bindparam("its_channel"))
            values = [{"its_key": key[0], "its_channel": key[1], **_without_key(known[key])} for key in sorted(found)]
            self.connection.execute(update(outbox).where(its_key), values)
        return set(found)

    def _messages(self, alert: Alert) -> Sequence[Message]:
        title = " ".join(alert.title.split())  # one line, whatever the order's id contains
        payload = orjson.dumps(alert.data).decode()
        return [
            Message(alert.idempotency_key, channel, alert.topic, title, payload, self.now)
            for channel in channels_of(self.settings)
        ]


def _first_of_each_channel(messages: Sequence[Message], capacity: Mapping[str, int]) -> Iterator[Message]:
    left = dict(capacity)
    for each in messages:
        if left.get(each.channel, 0) > 0:
            left[each.channel] -= 1
            yield each


def _key(message: Message) -> Key:
    return message.idempotency_key, message.channel


def _without_key(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in {"idempotency_key", "channel"}}
