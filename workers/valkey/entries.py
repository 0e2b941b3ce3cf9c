"""Stream entries, and how to read them from Valkey's replies."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from schemas import keys
from schemas.request_context import RequestContext, decode_context

BATCH = 512
"""About how many events a handler processes at once, and the most that a claim check names."""

Fields = dict[bytes, bytes]


class Entry(NamedTuple):
    """A stream entry: its id in the stream, and its fields."""

    id: str
    fields: Fields


class Batch(list[Entry]):
    """Entries read together."""

    taken_over: bytes | None = None
    """The count of takeovers at the read; None if these may have been taken over."""
    consumer: str = ""
    """Who read them."""
    deliveries: int = 1
    """How often they were delivered. More than once: whoever had them ended, or was silent, before they were acknowledged."""

    def part(self, start: int, end: int) -> "Batch":
        """Some of the entries, by their places."""
        part = Batch(self[start:end])
        part.taken_over, part.consumer, part.deliveries = self.taken_over, self.consumer, self.deliveries
        return part


class Bodies(dict[str, Fields]):
    """Inbox entries by event id. `failures`: how many failures of their handler were on record when they were read."""

    failures: int = 0


def entries_of(reply: Any) -> list[Entry]:
    """Entries of a stream reply. A deleted entry that is still pending comes as an id without fields."""
    return [Entry(entry_id.decode(), pairs_of(fields or ())) for entry_id, fields in reply]


def event_ids(entry: Entry) -> list[str]:
    """The events that a claim check names; none if it was deleted while it was pending."""
    return entry.fields.get(keys.FIELD_EVENT, b"").decode().split()


def events_in(entry: Entry) -> int:
    """How many events a claim check names."""
    return entry.fields.get(keys.FIELD_EVENT, b"").count(b" ") + 1


def pairs_of(flat: Sequence[bytes]) -> Fields:
    """The fields of one entry, from a reply of alternating names and values."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def provider_of(fields: Fields) -> str:
    """The provider of an inbox entry."""
    return fields.get(keys.FIELD_PROVIDER, b"").decode("utf-8", "replace")


def request_of(fields: Fields) -> RequestContext:
    """The request context of an inbox entry."""
    return decode_context(fields.get(keys.FIELD_REQUEST, b""))
