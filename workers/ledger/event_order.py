"""Which news is newer. A key of news sorts by the provider's time, then by how far along its status is, then by identity.

So of two events with one time the same one wins in whatever order they arrive. Text, so that one comparison does it in SQL.
"""

from datetime import UTC, datetime

from schemas.events import Event

_RANKS = {
    status: rank
    for rank, statuses in enumerate(
        (
            ("brand_new", "opened", "open"),
            ("rescheduled",),
            ("acknowledged",),
            ("picking",),
            ("staging",),
            ("delivering", "in_transit"),
            ("delivered",),
            ("canceled",),
            ("closed",),
        ),
        1,
    )
    for status in statuses
}


def ordering_key(event: Event) -> str:
    """The key of an event's news, comparable byte by byte."""
    return ordering_key_of(event.occurred_at, event.status, event.identity)


def ordering_key_of(occurred_at: datetime, status: str | None, identity: str) -> str:
    """The key of the news that an event of this time, status and identity brought."""
    return f"{sortable(occurred_at)}|{_RANKS.get(status or '', 0)}|{identity}"


def sortable(time: datetime) -> str:
    """A time as text that sorts by time."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
