"""The drain: decodes inbox entries, finds kind, order and identity, and routes each to the handlers that want it.

Its commit point is `Store.route`. A crash before it leaves the entries pending; after it there is nothing left to do.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import NamedTuple

from schemas.decoding import decode
from schemas.events import Event, Kind
from schemas.failures import Failure, Reason, Undecodable
from schemas.keys import DRAIN, FIELD_BODY, FIELD_PROVIDER, FIELD_REQUEST
from schemas.request_context import RequestContext, decode_context
from workers.bells import Bells
from workers.blame import account_of
from workers.drift import Drift
from workers.entries import Batch, Entry, Fields
from workers.failures import first_task_id
from workers.handler import Handler
from workers.store import Routed, Store

log = logging.getLogger("curbside.workers")

MAX_NAME_CHARS = 100
"""Names we do not know are counted each by itself, cut to this length."""


class Router:
    """Which handlers an event goes to. Pure."""

    def __init__(self, handlers: Sequence[Handler]) -> None:
        self.names = [handler.name for handler in handlers]
        self._routes = {kind: bytes(place for place, handler in enumerate(handlers, 1) if handler.wants(kind)) for kind in Kind}

    def routed(self, event: Event) -> Routed:
        """The outcome of a decoded event that is no duplicate."""
        unknown = event.name[:MAX_NAME_CHARS] if event.kind is Kind.UNRECOGNISED else ""
        return Routed(event.event_id, event.identity, self._routes[event.kind], unknown)


class Sorted(NamedTuple):
    """A batch: its decoded events with their bodies, where each is to be routed, and what cannot be decoded."""

    events: list[tuple[Event, bytes]]
    routed: list[Routed]
    undecodable: list[Failure]


def sort_out(entries: Sequence[Entry], router: Router, zone: tzinfo, now_ms: int) -> Sorted:
    """Decode a batch. Pure."""
    found = Sorted([], [], [])
    for entry in entries:
        provider, body = provider_of(entry.fields), entry.fields.get(FIELD_BODY, b"")
        try:
            if not entry.fields:
                raise Undecodable(Reason.BODY_MISSING, "the inbox entry was deleted before it was read")
            event = decode(provider, body, entry.id, zone)
            found.routed.append(router.routed(event))
            found.events.append((event, body))
        except Exception as error:  # also a bug of ours: one event must not stop the others
            found.undecodable.append(undecodable_failure(entry.id, DRAIN, entry.fields, error, now_ms))
    return found


def undecodable_failure(event_id: str, handler: str, fields: Fields, error: Exception, now_ms: int) -> Failure:
    """The record of an entry whose body could not be decoded: `Undecodable`, or else a bug of ours, whose traceback is kept."""
    provider = provider_of(fields)
    if not isinstance(error, Undecodable):
        log.error("a bug in decoding event %s of %s: %s", event_id, provider, type(error).__name__)
    return Failure(
        event_id=event_id,
        handler=handler,
        provider=provider,
        body=fields.get(FIELD_BODY, b""),
        request=request_of(fields),
        **account_of(error),
        task_id=first_task_id(handler, event_id),
        first_at_ms=now_ms,
        last_at_ms=now_ms,
    )


def provider_of(fields: Fields) -> str:
    """The provider an inbox entry names."""
    return fields.get(FIELD_PROVIDER, b"").decode("utf-8", "replace")


def request_of(fields: Fields) -> RequestContext:
    """What an inbox entry keeps of the request."""
    return decode_context(fields.get(FIELD_REQUEST, b""))


class Drain:
    """Handles batches of the inbox."""

    def __init__(
        self, store: Store, bells: Bells, router: Router, *, zone: tzinfo, seen_ms: int, drift: Drift | None = None
    ) -> None:
        self._store, self._bells, self._router = store, bells, router
        self._zone, self._seen_ms, self._drift = zone, seen_ms, drift

    def process(self, entries: Sequence[Entry], clock: Callable[[], float] = time.time) -> None:
        """Give each entry its one outcome, then ring for the handlers that got something, then look for drift."""
        found = sort_out(entries, self._router, self._zone, int(clock() * 1000))
        taken_over = entries.taken_over if isinstance(entries, Batch) else None
        self._bells.send(self._store.route(self._router.names, found.routed, found.undecodable, self._seen_ms, taken_over))
        if self._drift is not None:
            self._drift.watch(found.events)
