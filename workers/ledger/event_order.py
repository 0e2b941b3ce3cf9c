"""The ordering key of an event, which decides which of two events is newer.

It sorts by the time that orders the event, then by the progress of the status, then by identity. Of two events with the same
time, the same one therefore wins whatever their order of arrival. The key is text, so SQL needs one comparison.

The time that orders an event is `Event.ordered_at`: the provider's time, but never later than receipt and `CLOCK_TOLERANCE`. A
time that means nothing (year 1, year 9999, none at all) is replaced by the time of receipt. So no event rules for ever. The
provider's time as sent is kept beside it, in the columns `occurred_at`, and orders nothing.
"""

from datetime import UTC, datetime

from schemas.events import Event, bounded

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


def time_of(key: str) -> datetime:
    """The time that an ordering key begins with."""
    return datetime.fromisoformat(key.partition("|")[0])


def identity_of(key: str) -> str:
    """The identity that an ordering key ends with."""
    return key.split("|", 2)[2]


def stored_time(ordered_at: datetime | None, occurred_at: datetime, received_at: datetime) -> datetime:
    """The time that orders a stored event. No `ordered_at`: it is `occurred_at`, bounded in rows of release 0.1."""
    return ordered_at or bounded(occurred_at, received_at)


def sortable(time: datetime) -> str:
    """The time as text that sorts by time."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
