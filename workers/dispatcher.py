"""The dispatcher: decodes inbox entries and routes each event to the handlers of its kind.

Its commit point is `Store.route`. A crash before it leaves the entries pending; a crash after it leaves nothing to do.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from types import MappingProxyType
from typing import NamedTuple

from schemas.events import Event, Kind
from schemas.failures import DecodeError, Failure, Reason
from schemas.keys import DISPATCH, FIELD_BODY
from workers.consumers.batch_size import MAX_BATCH_BYTES
from workers.consumers.notifier import Notifier
from workers.contract_drift import DriftMonitor
from workers.event_decoder import EventDecoder
from workers.failures.error_report import describe
from workers.failures.failure_store import first_task_id
from workers.handler import Handler
from workers.suspects import Suspects, isolated_event
from workers.valkey.entries import Batch, Entry, Fields, provider_of, request_of
from workers.valkey.store import Routed, Store

log = logging.getLogger("curbside.workers")

NOTHING: Mapping[str, Exception] = MappingProxyType({})
MAX_NAME_CHARS = 100
"""Each unrecognised event name has a count of its own, under the name cut to this length."""


class Router:
    """Which handlers an event goes to. Pure."""

    def __init__(self, handlers: Sequence[Handler]) -> None:
        self.names = [handler.name for handler in handlers]
        self._routes = {kind: bytes(place for place, handler in enumerate(handlers, 1) if handler.wants(kind)) for kind in Kind}

    def routed(self, event: Event) -> Routed:
        """Where a decoded event goes if it is no duplicate."""
        unknown = event.name[:MAX_NAME_CHARS] if event.kind is Kind.UNRECOGNISED else ""
        return Routed(event.event_id, event.identity, self._routes[event.kind], unknown)


class DecodedBatch(NamedTuple):
    """The decoded events of a batch with their decompressed bodies, the route of each, and a failure for each undecodable entry."""

    events: list[tuple[Event, bytes]]
    routed: list[Routed]
    undecodable: list[Failure]


def decode_batches(
    entries: Sequence[Entry], router: Router, decoder: EventDecoder, now_ms: int, killing: Mapping[str, Exception] = NOTHING
) -> Iterator[DecodedBatch]:
    """Decode entries, in batches of about `MAX_BATCH_BYTES` of decompressed bodies: nearly always one.

    `killing`: the entries that are known to end the process that decodes them, each with the error.
    """
    found, room = DecodedBatch([], [], []), MAX_BATCH_BYTES
    for entry in entries:
        if room < 0:
            yield found
            found, room = DecodedBatch([], [], []), MAX_BATCH_BYTES
        try:
            if not entry.fields:
                raise DecodeError(Reason.BODY_MISSING, "the inbox entry was deleted before it was read")
            if entry.id in killing:
                raise killing[entry.id]
            event, body = decoder.decode_entry(entry)
            found.routed.append(router.routed(event))
            found.events.append((event, body))
            room -= len(body)
        except Exception as error:  # also a bug in a decoder: one event must not stop the others
            found.undecodable.append(undecodable_failure(entry.id, DISPATCH, entry.fields, error, now_ms))
            room -= len(entry.fields.get(FIELD_BODY, b""))
    yield found


def undecodable_failure(event_id: str, handler: str, fields: Fields, error: Exception, now_ms: int) -> Failure:
    """The failure of an undecodable entry. Any error but `DecodeError` is a bug in the decoder: its traceback is kept."""
    provider = provider_of(fields)
    if not isinstance(error, DecodeError):
        log.error("a bug in decoding event %s of %s: %s", event_id, provider, type(error).__name__)
    return Failure(
        event_id=event_id,
        handler=handler,
        provider=provider,
        body=fields.get(FIELD_BODY, b""),
        request=request_of(fields),
        **describe(error),
        task_id=first_task_id(handler, event_id),
        first_at_ms=now_ms,
        last_at_ms=now_ms,
    )


class Dispatcher:
    """Handles batches of the inbox. `suspects`: where it decodes a batch whose worker ended; None: here."""

    def __init__(
        self,
        store: Store,
        notifier: Notifier,
        router: Router,
        *,
        decoder: EventDecoder,
        seen_ms: int,
        drift: DriftMonitor | None = None,
        suspects: Suspects | None = None,
    ) -> None:
        self._store, self._notifier, self._router = store, notifier, router
        self._decoder, self._seen_ms, self._drift, self._suspects = decoder, seen_ms, drift, suspects

    def process(self, entries: Sequence[Entry], clock: Callable[[], float] = time.time) -> None:
        """Give each entry its one outcome, notify the handlers that got events, and inspect bodies for drift."""
        batch = entries if isinstance(entries, Batch) else None
        killing = self._killing(batch) if batch is not None else NOTHING
        for found in decode_batches(entries, self._router, self._decoder, int(clock() * 1000), killing):
            names = self._router.names
            self._notifier.send(self._store.route(names, found.routed, found.undecodable, self._seen_ms, batch))
            if self._drift is not None:
                self._drift.observe(found.events)

    def _killing(self, batch: Batch) -> Mapping[str, Exception]:
        """Of a batch whose worker ended: the entries that cannot be decoded without that, each with the error."""
        if batch.deliveries == 1 or self._suspects is None:
            return NOTHING
        raw = [isolated_event(entry.id, entry.fields) for entry in batch if entry.fields]
        with closing(self._suspects) as suspects:
            return suspects.undecodable(DISPATCH, raw, batch.deliveries)
