"""Replay: runs chosen handlers again on events that are still in the inbox. The ledger's unique keys keep every effect single.

It serves a handler that was added later, and effects that a bug wrote wrongly. It skips failures (retry them), events that wait
for the dispatcher (they will be handled), and duplicates, as far back as `DEDUPE_WINDOW` reaches.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from redis import Redis, ResponseError

from schemas import keys
from schemas.events import Event, Kind
from schemas.parsing.durations import milliseconds
from schemas.settings import Settings
from schemas.stream_groups import stream_id
from workers.dispatcher import Router
from workers.event_decoder import EventDecoder
from workers.handler import Handler
from workers.valkey import scripts
from workers.valkey.entries import Entry
from workers.valkey.store import Routed, Store

PAGE = 500


@dataclass(frozen=True)
class ReplayFilter:
    """Events received from `since` until before `until` (None: now), of these kinds, providers and orders (empty: all)."""

    since: datetime
    until: datetime | None = None
    kinds: frozenset[Kind] = frozenset()
    providers: frozenset[str] = frozenset()
    orders: frozenset[str] = frozenset()

    def matches(self, event: Event) -> bool:
        """Whether the event has one of the kinds, providers and orders."""
        return (
            (not self.kinds or event.kind in self.kinds)
            and (not self.providers or event.provider in self.providers)
            and (not self.orders or not self.orders.isdisjoint(event.order_ids))
        )


class ReplayResult(NamedTuple):
    """How many events were replayed, and how many claim checks were written for them."""

    events: int
    claim_checks: int


class Replay:
    """Selects events and routes them to handlers again. The workers' timers notify the queues."""

    def __init__(self, client: Redis, settings: Settings, handlers: Sequence[Handler], chosen: Sequence[str]) -> None:
        self._client, self._store, self._decoder = client, Store(client), EventDecoder.of(settings)
        self._names = [each.name for each in handlers if not chosen or each.name in chosen]
        self._router = Router([each for each in handlers if each.name in self._names])
        self._script = scripts.load(client, "seen", "replay")
        self._seen_ms = milliseconds(settings.dedupe_window)

    def count(self, criteria: ReplayFilter) -> int:
        """How many events `run` would replay."""
        return self._replay(criteria, counting=True).events

    def run(self, criteria: ReplayFilter, progress: Callable[[int], None] = lambda _: None) -> ReplayResult:
        """Replay the events. `progress` is called for each page of the inbox, with the number of events replayed."""
        return self._replay(criteria, counting=False, progress=progress)

    def _replay(
        self, criteria: ReplayFilter, *, counting: bool, progress: Callable[[int], None] = lambda _: None
    ) -> ReplayResult:
        streams = [keys.FAILURES, keys.COUNTERS, *map(keys.todo, self._names)]
        found = ReplayResult(0, 0)
        for page in self._pages(criteria):
            args: list[Any] = [int(counting), keys.SEEN_PREFIX, self._seen_ms, len(self._names), *self._names]
            for event in page:
                args += (event.event_id, event.identity, event.routes)
            reply: Any = self._script(streams, args)
            found = ReplayResult(found.events + reply[0], found.claim_checks + reply[1])
            progress(reply[0])
        return found

    def _pages(self, criteria: ReplayFilter) -> Iterator[list[Routed]]:
        """Pages of events with their routes, up to what the dispatcher had handled at the start: a replay always ends."""
        until_ms, dispatched = _epoch_ms(criteria.until or datetime.now(UTC)), self._dispatched_until()
        if dispatched is None:
            return
        last = dispatched if stream_id(dispatched.lstrip("(")) < (until_ms, 0) else f"{until_ms - 1}"
        start = f"{_epoch_ms(criteria.since)}"
        while entries := self._store.page(keys.INBOX, start, PAGE, last):
            yield [found for entry in entries if (found := self._select(entry, criteria)) is not None]
            start = f"({entries[-1].id}"

    def _dispatched_until(self) -> str | None:
        """The end of the range in which the dispatcher has given every entry its outcome; None if it has never run."""
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

    def _select(self, entry: Entry, criteria: ReplayFilter) -> Routed | None:
        try:
            event, _ = self._decoder.decode_entry(entry)
        except Exception:  # a decode error or a bug in a decoder: the dispatcher has recorded the failure
            return None
        return routed if criteria.matches(event) and (routed := self._router.routed(event)).routes else None


def _epoch_ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
