"""The ordering key of an event, which decides which of two events is newer.

It sorts by the provider's time (bounded: `schemas.events.Event.ordered_at`), then by the progress of the status, then by identity. Of two events with the same time, the
same one therefore wins whatever their order of arrival. The key is text, so SQL needs one comparison.
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
    """The ordering key of an event, comparable byte by byte."""
    return ordering_key_of(event.ordered_at, event.status, event.identity)


def ordering_key_of(ordered_at: datetime, status: str | None, identity: str) -> str:
    """The ordering key of an event with this time, status and identity."""
    return f"{sortable(ordered_at)}|{_RANKS.get(status or '', 0)}|{identity}"


def sortable(time: datetime) -> str:
    """The time as text that sorts by time."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
