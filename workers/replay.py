"""Replay: events that are still in the inbox go through chosen handlers again. Effects stay single, by the ledger's unique keys.

For a handler that was added later, or a bug that was applied and not refused. Events that failed are retried, not replayed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from redis import Redis

from schemas import keys
from schemas.decoding import decode
from schemas.events import Event, Kind, Provider
from schemas.failures import Undecodable
from schemas.settings import Settings
from workers.drain import Router, provider_of
from workers.handler import Handler
from workers.store import Entry, Store

PAGE = 500


@dataclass(frozen=True)
class Wanted:
    """Which events: received from `since` up to before `until` (None: now), and of which kinds, providers, orders (empty: all)."""

    since: datetime
    until: datetime | None = None
    kinds: frozenset[Kind] = frozenset()
    providers: frozenset[Provider] = frozenset()
    orders: frozenset[str] = frozenset()

    def wants(self, event: Event) -> bool:
        """Whether it is one of them."""
        return (
            (not self.kinds or event.kind in self.kinds)
            and (not self.providers or event.provider in self.providers)
            and (not self.orders or not self.orders.isdisjoint(event.order_ids))
        )


class Replay:
    """Finds events and sends them to handlers again; the workers' timers ring for them."""

    def __init__(self, client: Redis, settings: Settings, handlers: Sequence[Handler], chosen: Sequence[str]) -> None:
        self._client, self._store, self._zone = client, Store(client), settings.store_timezone
        self._names = [each.name for each in handlers if not chosen or each.name in chosen]
        self._router = Router([each for each in handlers if each.name in self._names])
        self._script = client.register_script(resources.files("workers.scripts").joinpath("replay.lua").read_text())

    def count(self, wanted: Wanted) -> int:
        """How many events would go through some handler again."""
        return sum(len(page) for page in self._pages(wanted))

    def run(self, wanted: Wanted, progress: Callable[[int], None]) -> int:
        """Send them. Returns the number of claim checks written, at most one for each event and handler."""
        written = 0
        for page in self._pages(wanted):
            args: list[Any] = [len(self._names), *self._names]
            for event_id, routes in page:
                args += (event_id, routes)
            streams = [keys.FAILURES, keys.COUNTERS, *map(keys.todo, self._names)]
            written += int(self._script(streams, args))
            progress(len(page))
        return written

    def _pages(self, wanted: Wanted) -> Iterator[list[tuple[str, bytes]]]:
        """Event ids with the handlers they go to; never beyond what is in the inbox when it begins, so that it ends."""
        until = wanted.until or datetime.now(UTC)
        last = f"{_epoch_ms(until) - 1}"
        start = f"{_epoch_ms(wanted.since)}"
        while entries := self._store.page(keys.INBOX, start, PAGE, last):
            yield [found for entry in entries if (found := self._found(entry, wanted)) is not None]
            start = f"({entries[-1].id}"

    def _found(self, entry: Entry, wanted: Wanted) -> tuple[str, bytes] | None:
        try:
            event = decode(provider_of(entry.fields), entry.fields.get(keys.FIELD_BODY, b""), entry.id, self._zone)
        except Undecodable:  # it is on record as a failure
            return None
        routes = self._router.routed(event).routes
        return (event.event_id, routes) if routes and wanted.wants(event) else None


def _epoch_ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
