"""Entries of streams as workers hold them, and the shapes of replies that they come in."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from schemas import keys
from schemas.request_context import RequestContext, decode_context

BATCH = 512
"""Events that a handler takes at once, about; a claim check names no more."""

Fields = dict[bytes, bytes]


class Entry(NamedTuple):
    """A stream entry taken for work: its id in that stream, and its fields."""

    id: str
    fields: Fields


class Batch(list[Entry]):
    """Entries taken together. `taken_over`: how often any had changed hands before; None for such as have, or may have."""

    taken_over: bytes | None = None


def entries_of(reply: Any) -> list[Entry]:
    """Entries of a stream reply. A deleted entry that is still pending comes as an id without fields."""
    return [Entry(entry_id.decode(), pairs_of(fields or ())) for entry_id, fields in reply]


def event_ids(entry: Entry) -> list[str]:
    """The events that a claim check names; none, if it was deleted in our hands."""
    return entry.fields.get(keys.FIELD_EVENT, b"").decode().split()


def events_in(entry: Entry) -> int:
    """How many events a claim check names."""
    return entry.fields.get(keys.FIELD_EVENT, b"").count(b" ") + 1


def pairs_of(flat: Sequence[bytes]) -> Fields:
    """The fields of one entry, from a reply that lists names and values in turn."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def provider_of(fields: Fields) -> str:
    """The provider an inbox entry names."""
    return fields.get(keys.FIELD_PROVIDER, b"").decode("utf-8", "replace")


def request_of(fields: Fields) -> RequestContext:
    """What an inbox entry keeps of the request."""
    return decode_context(fields.get(keys.FIELD_REQUEST, b""))
