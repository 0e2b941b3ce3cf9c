"""Suspects: events of a batch whose worker ended before it was acknowledged. They are tried in an isolated process.

Together first, since most of them are innocent: a worker was killed, or a node was lost. If that ends the isolated process, they
are tried one by one, and one that ends it each time is to blame. Where worker and isolated process always end together (a
container whose memory is used up), the worker's end is all there is to see: then a durable count of attempts that did not end
blames an event, after more of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis

from schemas import keys
from schemas.events import Event
from schemas.request_context import NO_CONTEXT, encode_context
from workers.errors import DependencyUnavailableError, KilledWorkerError, ReportedError, ReportedPermanentError
from workers.handler import Handler
from workers.isolation import Described, IsolatedEvent, IsolatedProcess, Report, Request
from workers.ledger.unit_of_work import Alerts, Applied
from workers.valkey.entries import Fields, provider_of

DEATHS = 3
"""An event is to blame if it ended the isolated process so often, and nothing else was tried meanwhile."""
UNFINISHED = 4
"""Or if so many workers ended while they tried it alone."""
ALONE_FROM_DELIVERY = 4
"""A batch that was delivered so often is tried one by one at once: together, it ended a whole worker each time."""

T = TypeVar("T")


class Suspects:
    """Tries events in an isolated process. For one thread at a time. `seconds`: how long one attempt may take."""

    def __init__(self, client: redis.Redis, process: IsolatedProcess | None = None, seconds: float | None = None) -> None:
        self._client, self._process, self._seconds = client, process or IsolatedProcess(), seconds

    def apply(self, handler: Handler, events: Sequence[tuple[Event, bytes]]) -> Applied:
        """Apply events together, given with their bodies. Raises what the handler raised, and what `IsolatedProcess.run` does."""
        given = [IsolatedEvent(each.event_id, each.provider, body, _request(each)) for each, body in events]
        report = self._process.run(Request(handler.name, given), self._seconds)
        if report.unavailable:
            raise DependencyUnavailableError(report.unavailable)
        if report.error is not None:
            raise _error(report.error)
        return _applied(report, [event for event, _ in events])

    def decode(self, events: Sequence[IsolatedEvent]) -> None:
        """Decode events. Raises `KilledWorkerError` if that ends the process; whether they can be decoded is not told."""
        self._process.run(Request("", events))

    def undecodable(self, name: str, events: Sequence[IsolatedEvent], deliveries: int) -> dict[str, KilledWorkerError]:
        """The events whose decoding ends a process, each with the error. `name`: whose failures they become."""
        if deliveries < ALONE_FROM_DELIVERY:
            try:
                self.decode(events)
            except KilledWorkerError:
                pass
            else:
                return {}
        found = {}
        for each in events:
            try:
                self.alone(f"{name}:{each.event_id}", lambda each=each: self.decode([each]))  # type: ignore[misc]
            except KilledWorkerError as error:
                found[each.event_id] = error
        return found

    def alone(self, field: str, attempt: Callable[[], T]) -> T:
        """Make an attempt at one event, which `field` names, again if it ends the isolated process. Counts it durably meanwhile."""
        begun = self.begin(field)
        try:
            if begun > UNFINISHED:
                raise KilledWorkerError(f"{UNFINISHED} workers ended while they tried it alone")
            for _ in range(DEATHS - 1):
                try:
                    return attempt()
                except KilledWorkerError:
                    pass
            return attempt()
        finally:
            self.end(field)

    def begin(self, field: str) -> int:
        """Note durably that an attempt begins. Returns how many have begun since the last that ended, with this one."""
        begun: Any = self._client.hincrby(keys.TRIED_ALONE, field, 1)
        return int(begun)

    def end(self, field: str) -> None:
        """Note that the attempt has ended, however it did."""
        self._client.hdel(keys.TRIED_ALONE, field)

    def close(self) -> None:
        """End the isolated process; the next attempt starts another one."""
        self._process.close()


def isolated_event(event_id: str, fields: Fields) -> IsolatedEvent:
    """An event as an isolated process needs it, of the fields of its inbox entry."""
    return IsolatedEvent(event_id, provider_of(fields), fields.get(keys.FIELD_BODY, b""), fields.get(keys.FIELD_REQUEST, b""))


def _request(event: Event) -> bytes:
    return b"" if event.request is NO_CONTEXT else encode_context(event.request)


def _error(described: Described) -> ReportedError:
    return (ReportedPermanentError if described.permanent else ReportedError)(described.description)


def _applied(report: Report, events: Sequence[Event]) -> Applied:
    by_id = {event.event_id: event for event in events}
    return Applied(Alerts(waiting=report.alerts), [(by_id[event_id], _error(each)) for event_id, each in report.failed])
