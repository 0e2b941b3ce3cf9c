"""Which row of an order's history belongs to which acknowledged event, and so which of its posts was applied. Pure.

Several posts of one event are one event, and any of them may be the one that is applied. The history tells which it was. All
other rows of the event must name the same post.
"""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

from deploy.simulator.provider_events import ProviderEvent

EventId = tuple[int, int]
Row = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_YEAR, _FASTEST_CLOCK = 2000, timedelta(hours=36)
_PROGRESS = (
    {"brand_new", "opened", "open"}, {"rescheduled"}, {"acknowledged"}, {"picking"}, {"staging"}, {"delivering", "in_transit"},
    {"delivered"}, {"canceled"}, {"closed"},
)  # fmt: skip


class AcknowledgedEvent(NamedTuple):
    """An acknowledged event and the inbox ids of its posts. `has_all_ids`: no post of it went without a response."""

    event: ProviderEvent
    ids: frozenset[EventId]
    has_all_ids: bool


@dataclass(frozen=True, slots=True)
class AppliedEvent:
    """An acknowledged event, as the post that was applied makes it. `row` is its row of the history, if there is one."""

    event: ProviderEvent
    id: EventId
    identity: str
    ordered_at: datetime
    row: Row | None

    @property
    def occurred_at(self) -> datetime:
        """The provider's time as sent, or the time of receipt."""
        return self.event.at if self.has_time else received_at(self.id)

    @property
    def has_time(self) -> bool:
        """Whether the body states a time that can be meant."""
        return _has_time(self.event)

    @property
    def order(self) -> tuple[datetime, int, str]:
        """What decides which of two events is newer: the time, then how far along the status is, then the identity."""
        rank = next((rank for rank, statuses in enumerate(_PROGRESS, 1) if self.event.status in statuses), 0)
        return self.ordered_at, rank, self.identity

    @property
    def source(self) -> Row:
        """The columns by which each effect of the event names it."""
        return {"event_id": as_text(self.id), "received_at": received_at(self.id), "occurred_at": self.occurred_at}


def as_text(event_id: EventId) -> str:
    """Return the inbox id as the ledger has it."""
    return f"{event_id[0]}-{event_id[1]}"


def received_at(event_id: EventId) -> datetime:
    """Return the time of receipt: an inbox id begins with it."""
    return _EPOCH + timedelta(milliseconds=event_id[0])


def find_applied(
    acknowledged: Sequence[AcknowledgedEvent], history: Sequence[Row], tolerance: timedelta
) -> tuple[list[AppliedEvent], list[Row]]:
    """Return the events, oldest first, each with its row of the history, and the rows that belong to no event.

    A row belongs to the event whose inbox id it names. One that names no event's id belongs to the event that it looks like.
    """
    by_id = {as_text(event_id): index for index, each in enumerate(acknowledged) for event_id in each.ids}
    rows: dict[int, Row] = {}
    others: list[Row] = []
    known = {known_identity(each.event) for each in acknowledged}
    for row in sorted(history, key=lambda row: row["identity"] not in known):
        index = by_id.get(row["event_id"])
        if index is None or index in rows:
            others.append(row)
        else:
            rows[index] = row
    for index, each in enumerate(acknowledged):
        alike = None if index in rows else next((row for row in others if _is_alike(each.event, row)), None)
        if alike is not None:
            rows[index] = alike
            others.remove(alike)
    applied = [_applied(each, rows.get(index), tolerance) for index, each in enumerate(acknowledged)]
    return sorted(applied, key=lambda each: each.order), others


def known_identity(event: ProviderEvent) -> str | None:
    """Return the identity of an event that the provider gives an id, by the documented rule; None if its content is it."""
    if not event.identified_by:
        return None
    digest = blake2b("\0".join((event.provider, *event.identified_by)).encode(), digest_size=16).digest()
    return urlsafe_b64encode(digest)[:22].decode()


def _applied(acknowledged: AcknowledgedEvent, row: Row | None, tolerance: timedelta) -> AppliedEvent:
    event, ids = acknowledged.event, acknowledged.ids
    named = _parsed(row["event_id"]) if row else None
    event_id = named if named and (named in ids or not acknowledged.has_all_ids) else min(ids)
    identity = known_identity(event) or (row["identity"] if row else "")
    return AppliedEvent(event, event_id, identity, _ordered_at(event, received_at(event_id), tolerance), row)


def _ordered_at(event: ProviderEvent, received: datetime, tolerance: timedelta) -> datetime:
    """Return the time by which an event is ordered: the provider's, if it can be meant, and never far after receipt."""
    if not _has_time(event) or event.at - received > max(tolerance, _FASTEST_CLOCK):
        return received
    return min(event.at, received + tolerance)


def _has_time(event: ProviderEvent) -> bool:
    return event.has_time and event.at.year >= _EARLIEST_YEAR


def _is_alike(event: ProviderEvent, row: Row) -> bool:
    stated = (event.name, event.provider_event_id, event.status)
    return stated == (row["name"], row["provider_event_id"], row["status"]) and (
        event.provider_event_id is not None or not _has_time(event) or row["occurred_at"] == event.at
    )


def _parsed(event_id: str) -> EventId | None:
    milliseconds, _, sequence = event_id.partition("-")
    return (int(milliseconds), int(sequence)) if milliseconds.isdecimal() and sequence.isdecimal() else None
