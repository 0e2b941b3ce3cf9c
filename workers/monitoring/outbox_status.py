"""The status of the alerts in the outbox."""

from datetime import datetime

import msgspec
from sqlalchemy import func, select

from workers.ledger.ledger import Ledger
from workers.ledger.tables import outbox


class HeldUpChannel(msgspec.Struct, frozen=True):
    """A channel through which alerts have failed that still wait: how many wait, the oldest since when, and the last error."""

    channel: str
    waiting: int
    since: datetime
    error: str


class OutboxStatus(msgspec.Struct, frozen=True):
    """Alerts. `failing`: how many of `waiting` have had a failed attempt. `too_old`: not sent, because of `ALERT_MAX_AGE`."""

    waiting: int
    failing: int
    sent: int
    too_old: int
    oldest_age_seconds: float | None
    held_up: list[HeldUpChannel] = []


def read_outbox(ledger: Ledger, now: datetime) -> OutboxStatus:
    """The status of the alerts. Raises `DependencyUnavailableError` if the ledger cannot be read."""
    its = outbox.c
    waiting, too_old = its.sent_at.is_(None), its.dropped & (its.attempts == 0)
    with ledger.read() as connection:
        row = connection.execute(
            select(
                func.count().filter(waiting),
                func.count().filter(waiting & (its.attempts > 0)),
                func.count().filter(its.sent_at.is_not(None) & ~too_old),
                func.count().filter(too_old),
                func.min(its.created_at).filter(waiting),
            )
        ).one()
        held_up = connection.execute(
            select(its.channel, func.count(), func.min(its.created_at), func.max(its.last_error))
            .where(waiting)
            .group_by(its.channel)
            .having(func.max(its.attempts) > 0)
            .order_by(its.channel)
        ).all()
    oldest = row[4]
    age = None if oldest is None else max(0.0, (now - oldest).total_seconds())
    return OutboxStatus(row[0], row[1], row[2], row[3], age, [HeldUpChannel(*each) for each in held_up])
