"""The decoder of a deployment: it adds to `schemas.decoding` what depends on the settings and on the worker's clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec

from schemas.compression import PLAIN, decompress
from schemas.decoding import MAX_BODY_BYTES, decode
from schemas.events import CLOCK_TOLERANCE, Event, bounded
from schemas.keys import FIELD_BODY
from schemas.request_context import NO_CONTEXT, RequestContext
from schemas.settings import Settings
from workers.valkey.entries import Entry, provider_of, request_of


def _utc_now() -> datetime:
    return datetime.now(UTC)


class EventDecoder:
    """Decodes inbox entries under a deployment's settings.

    `zone`: where a time without an offset is read. `tolerance`: how far a provider's clock may be ahead of ours. `now`: the
    worker's clock. A Valkey whose clock is ahead of it stamps receipt too late; that too must not make an event the newest.
    `limit_bytes`: how large a compressed body may become.
    """

    def __init__(
        self,
        zone: tzinfo,
        tolerance: timedelta = CLOCK_TOLERANCE,
        now: Callable[[], datetime] = _utc_now,
        *,
        limit_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._zone, self._tolerance, self._now, self._limit_bytes = zone, tolerance, now, limit_bytes
        self._past = datetime.min.replace(tzinfo=UTC)
        """A moment that has passed: it saves asking the clock for each event of a backlog."""

    @classmethod
    def of(cls, settings: Settings) -> "EventDecoder":
        """The decoder of a deployment."""
        return cls(settings.store_timezone, settings.clock_tolerance, limit_bytes=settings.max_body_bytes)

    def decode(self, provider: str, body: bytes, event_id: str, request: RequestContext = NO_CONTEXT) -> Event:
        """Decode one inbox entry, as `decode` does. Raises `DecodeError`."""
        event = decode(provider, body, event_id, self._zone, request, limit_bytes=self._limit_bytes)
        receipt = event.received_at
        if receipt > self._past:
            self._past = self._now()
            receipt = min(receipt, self._past)
        if event.occurred_at <= receipt:
            return event
        occurred_at = event.occurred_at if event.has_time else receipt
        return msgspec.structs.replace(event, ordered_at=bounded(occurred_at, receipt, self._tolerance))

    def decode_entry(self, entry: Entry) -> tuple[Event, bytes]:
        """Decode an inbox entry as routing needs it, without its request context. Returns the decompressed body as well."""
        body = entry.fields.get(FIELD_BODY, b"")
        if body[:1] != PLAIN:
            body = self.decompressed(body, request_of(entry.fields))
        return self.decode(provider_of(entry.fields), body, entry.id), body

    def decompressed(self, body: bytes, request: RequestContext) -> bytes:
        """The body without its codings. Raises `DecodeError`."""
        return body if body[:1] == PLAIN else decompress(body, request.content_encoding, self._limit_bytes).body
