"""Replay: events that are still in the inbox go through chosen handlers again. Effects stay single, by the ledger's unique keys.

For a handler that was added later, or a bug that was applied and not refused. Left alone are events that failed (they are retried),
that wait for the dispatcher (they are handled anyway), and that were dropped as duplicates, as far as `DEDUPE_WINDOW` remembers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from redis import Redis, ResponseError

from schemas import keys
from schemas.decoding import decode
from schemas.events import Event, Kind, Provider
from schemas.parsing.durations import milliseconds
from schemas.settings import Settings
from workers.dispatcher import Router
from workers.handler import Handler
from workers.housekeeping import stream_id
from workers.valkey import scripts
from workers.valkey.entries import Entry, provider_of
from workers.valkey.store import Routed, Store

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


class Replayed(NamedTuple):
    """How many events, and to how many handlers in all."""

    events: int
    claim_checks: int


class Replay:
    """Finds events and sends them to handlers again; the workers' timers ring for them."""

    def __init__(self, client: Redis, settings: Settings, handlers: Sequence[Handler], chosen: Sequence[str]) -> None:
        self._client, self._store, self._zone = client, Store(client), settings.store_timezone
        self._names = [each.name for each in handlers if not chosen or each.name in chosen]
        self._router = Router([each for each in handlers if each.name in self._names])
        self._script = scripts.load(client, "seen", "replay")
        self._seen_ms = milliseconds(settings.dedupe_window)

    def count(self, wanted: Wanted) -> int:
        """How many events would go through some handler again."""
        return self._go(wanted, counting=True).events

    def run(self, wanted: Wanted, progress: Callable[[int], None] = lambda _: None) -> Replayed:
        """Send them; `progress` hears of the number of events after every few hundred."""
        return self._go(wanted, counting=False, progress=progress)

    def _go(self, wanted: Wanted, *, counting: bool, progress: Callable[[int], None] = lambda _: None) -> Replayed:
        streams = [keys.FAILURES, keys.COUNTERS, *map(keys.todo, self._names)]
        found = Replayed(0, 0)
        for page in self._pages(wanted):
            args: list[Any] = [int(counting), keys.SEEN_PREFIX, self._seen_ms, len(self._names), *self._names]
            for event in page:
                args += (event.event_id, event.identity, event.routes)
            reply: Any = self._script(streams, args)
            found = Replayed(found.events + reply[0], found.claim_checks + reply[1])
            progress(reply[0])
        return found

    def _pages(self, wanted: Wanted) -> Iterator[list[Routed]]:
        """Events with the handlers they go to; never beyond what the dispatcher had done when it begins, so that it ends."""
        until_ms, dispatched = _epoch_ms(wanted.until or datetime.now(UTC)), self._drained()
        if dispatched is None:
            return
        last = dispatched if stream_id(dispatched.lstrip("(")) < (until_ms, 0) else f"{until_ms - 1}"
        start = f"{_epoch_ms(wanted.since)}"
        while entries := self._store.page(keys.INBOX, start, PAGE, last):
            yield [found for entry in entries if (found := self._found(entry, wanted)) is not None]
            start = f"({entries[-1].id}"

    def _drained(self) -> str | None:
        """Up to where the dispatcher has given every entry its outcome, as the end of a range; None if it never began."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xinfo_groups(keys.INBOX)
        pipeline.xpending(keys.INBOX, keys.GROUP)
        groups, pending = pipeline.execute(raise_on_error=False)
        for reply in (groups, pending):
            if isinstance(reply, ResponseError):  # no stream, or no group on it
                return None
            if isinstance(reply, Exception):
                raise reply
        if pending["min"] is not None:
            return f"({pending['min'].decode()}"
        return next((str(each["last-delivered-id"].decode()) for each in groups if each["name"] == keys.GROUP.encode()), None)

    def _found(self, entry: Entry, wanted: Wanted) -> Routed | None:
        try:
            event = decode(provider_of(entry.fields), entry.fields.get(keys.FIELD_BODY, b""), entry.id, self._zone)
        except Exception:  # Undecodable, or a bug of ours: it is on record as a failure
            return None
        return routed if wanted.wants(event) and (routed := self._router.routed(event)).routes else None


def _epoch_ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
