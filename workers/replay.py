"""Replay: runs chosen handlers again on events that are still in the inbox. The ledger's unique keys keep every effect single.

It serves a handler that was added later, and effects that a bug wrote wrongly. It skips failures (retry them), events that wait
for the dispatcher or for the handler (they will be handled), and duplicates, as far back as `DEDUPE_WINDOW` reaches. It says how
many it left out. A claim check and a trim of the inbox never pass each other: `replay.lua` and `trim.lua` each read, in the step in
which they write, what the other has done.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, cast

from redis import Redis, ResponseError

from schemas import keys
from schemas.events import Event, Kind, received_at
from schemas.parsing.durations import milliseconds
from schemas.settings import Settings
from schemas.stream_groups import stream_id
from workers.dispatcher import Router
from workers.event_decoder import EventDecoder
from workers.handler import Handler
from workers.valkey import scripts
from workers.valkey.entries import Entry, event_ids
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


class LeftOut(StrEnum):
    """Why an event is not replayed to a handler. The value is the sentence that the command prints after the number."""

    WAITING = "wait for their handler already"
    FAILED = "failed there: see `curbside failed`"
    DUPLICATE = "are duplicates"
    TRIMMED = "are no longer in the inbox"
    UNREADABLE = "cannot be decoded here (their failures are on record, or PROVIDER_MODULES does not name their provider)"


class Replay:
    """Selects events and routes them to handlers again. The workers' timers notify the queues.

    `left_out`: what the last count or run left out, and why.
    """

    def __init__(self, client: Redis, settings: Settings, handlers: Sequence[Handler], chosen: Sequence[str]) -> None:
        self._client, self._store, self._decoder = client, Store(client), EventDecoder.of(settings)
        self._names = [each.name for each in handlers if not chosen or each.name in chosen]
        self._router = Router([each for each in handlers if each.name in self._names])
        self._script = scripts.load(client, "commit", "seen", "claim_checks", "replay")
        self._seen_ms = milliseconds(settings.dedupe_window)
        self.left_out = Counter[LeftOut]()

    def count(self, criteria: ReplayFilter) -> int:
        """How many events `run` would replay."""
        return self._replay(criteria, counting=True).events

    def reaches_back_to(self) -> datetime | None:
        """When the oldest event in the inbox was received, if older ones were trimmed; None if none were."""
        try:
            inbox: Any = self._client.xinfo_stream(keys.INBOX)
        except ResponseError:  # no stream yet
            return None
        first = inbox["first-entry"]
        return received_at(first[0].decode()) if first and inbox["entries-added"] > inbox["length"] else None

    def run(self, criteria: ReplayFilter, progress: Callable[[int], None] = lambda _: None) -> ReplayResult:
        """Replay the events. `progress` is called for each page of the inbox, with the number of events replayed."""
        return self._replay(criteria, counting=False, progress=progress)

    def _replay(
        self, criteria: ReplayFilter, *, counting: bool, progress: Callable[[int], None] = lambda _: None
    ) -> ReplayResult:
        streams = [keys.FAILURES, keys.COUNTERS, keys.INBOX, *map(keys.todo, self._names)]
        found, self.left_out = ReplayResult(0, 0), Counter()
        waiting, read_to = self._waiting(criteria)
        for page in self._pages(criteria):
            args: list[Any] = [int(counting), keys.SEEN_PREFIX, self._seen_ms, len(self._names), *self._names, *read_to]
            for event in page:
                routes = bytes(place for place in event.routes if event.event_id not in waiting[place - 1])
                self.left_out[LeftOut.WAITING] += len(event.routes) - len(routes)
                args += (event.event_id, event.identity, routes)
            events, claim_checks, *left_out, read_to = cast("list[Any]", self._script(streams, args))
            for why, count in zip((LeftOut.WAITING, LeftOut.FAILED, LeftOut.DUPLICATE, LeftOut.TRIMMED), left_out, strict=True):
                self.left_out[why] += count
            found = ReplayResult(found.events + events, found.claim_checks + claim_checks)
            progress(events)
        self.left_out = +self.left_out
        return found

    def _waiting(self, criteria: ReplayFilter) -> tuple[list[set[str]], list[str]]:
        """For each handler the events that wait for it, as far as they are to be replayed, and the last claim check read."""
        since_ms, until_ms = _epoch_ms(criteria.since), _epoch_ms(criteria.until or datetime.now(UTC))
        found, read_to = [], []
        for name in self._names:
            waits, last = set[str](), "0-0"
            while entries := self._store.page(keys.todo(name), f"({last}", PAGE):
                named = (each for entry in entries for each in event_ids(entry))
                waits.update(each for each in named if since_ms <= stream_id(each)[0] < until_ms)
                last = entries[-1].id
            found.append(waits)
            read_to.append(last)
        return found, read_to

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
            self.left_out[LeftOut.UNREADABLE] += 1
            return None
        return routed if criteria.matches(event) and (routed := self._router.routed(event)).routes else None


def _epoch_ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
