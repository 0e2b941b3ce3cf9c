"""What the MIA alerts of an order can correctly be: every outcome that some pace of the two queues leads to. Pure.

One queue handles the reports of a missing customer, the other the ends of the order (delivered, canceled). Neither waits for the
other, and workers take batches side by side. So any order of handling can happen. The rules, as documented:

- A report opens an alert, or extends the open one, unless an end no older than the report was handled before it.
- Else it belongs to the alert that this end closed, without a message to anybody; unless that end was also received before it.
- An end closes the open alert if the last report of the alert is no newer.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from deploy.simulator.applied import AppliedEvent
from deploy.simulator.expected import Values
from deploy.simulator.provider_events import ENDS


class _Alert(NamedTuple):
    """An alert, by the index of its events. `closed_by` is None while it is open."""

    opened_by: int
    first: datetime
    last: datetime
    closed_by: int | None = None

    def extended(self, time: datetime) -> "_Alert":
        return self._replace(first=min(self.first, time), last=max(self.last, time))


class _State(NamedTuple):
    """What was handled so far, what the ledger holds, and which reports people were told of."""

    handled: frozenset[int] = frozenset()
    alerts: frozenset[_Alert] = frozenset()
    told: frozenset[int] = frozenset()


class Outcome(NamedTuple):
    """One correct outcome: the rows by identity, and the identities under which people are told."""

    rows: dict[str, Values]
    told: frozenset[str]


def outcomes_of(events: Sequence[AppliedEvent]) -> list[Outcome]:
    """Return every correct outcome of an order's events."""
    relevant = [each for each in events if each.event.kind == "customer_mia" or each.event.kind in ENDS]
    if not any(each.event.kind == "customer_mia" for each in relevant):
        return [Outcome({}, frozenset())]
    states = {_State()}
    for _ in relevant:
        states = {after for state in states for after in _next_states(relevant, state)}
    return [_outcome(relevant, alerts, told) for alerts, told in sorted({(each.alerts, each.told) for each in states}, key=str)]


def _next_states(events: Sequence[AppliedEvent], state: _State) -> Iterator[_State]:
    for index in set(range(len(events))) - state.handled:
        handled = state.handled | {index}
        if events[index].event.kind in ENDS:
            yield _State(handled, frozenset(_closed(events, index, state.alerts)), state.told)
        else:
            yield _reported(events, index, state)._replace(handled=handled)


def _closed(events: Sequence[AppliedEvent], end: int, alerts: Iterable[_Alert]) -> Iterator[_Alert]:
    for alert in alerts:
        closes = alert.closed_by is None and alert.last <= events[end].ordered_at
        yield alert._replace(closed_by=end) if closes else alert


def _reported(events: Sequence[AppliedEvent], report: int, state: _State) -> _State:
    its = events[report]
    ends = [
        each
        for each in range(len(events))
        if each in state.handled and events[each].event.kind in ENDS and events[each].ordered_at >= its.ordered_at
    ]
    closed_by = min(ends, key=lambda each: (events[each].ordered_at, events[each].id)) if ends else None
    if ends and any(events[each].id < its.id for each in ends):
        return state
    if ends and any(each.first <= its.ordered_at <= each.last for each in state.alerts):
        return state
    same = next((each for each in state.alerts if each.closed_by == closed_by), None)
    new = same.extended(its.ordered_at) if same else _Alert(report, its.ordered_at, its.ordered_at, closed_by)
    told = state.told if ends else state.told | {new.opened_by}
    return state._replace(alerts=(state.alerts - {same}) | {new}, told=told)


def _outcome(events: Sequence[AppliedEvent], alerts: Iterable[_Alert], told: Iterable[int]) -> Outcome:
    rows = {events[each.opened_by].identity: _row(events, each) for each in alerts}
    return Outcome(rows, frozenset(events[each].identity for each in told))


def _row(events: Sequence[AppliedEvent], alert: _Alert) -> Values:
    opened_by, end = events[alert.opened_by], None if alert.closed_by is None else events[alert.closed_by]
    reported: Values = {"first_reported_at": alert.first, "last_reported_at": alert.last}
    closed: Values = {"closed_at": end and end.occurred_at, "closed_by": end and end.source["event_id"]}
    return opened_by.source | {"provider": opened_by.event.provider} | reported | closed
