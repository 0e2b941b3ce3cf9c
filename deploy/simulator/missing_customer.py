"""What the MIA alerts of an order can correctly be: every outcome that some pace of the two queues leads to. Pure.

One queue handles the reports of a missing customer. The timeline handles the reports too, and the ends of the order (delivered,
canceled). Neither waits for the other, workers take batches side by side, and so any order of handling can happen. The rules:

- A report opens an alert, or extends the open one, unless an end no older than the report is in the history already.
- Else it belongs to the alert that this end closed, without a message to anybody; unless that end was also received before it.
- An end closes the open alert if the last report of the alert is no newer.
- If an end lies within the open alert, the alert is split as soon as the history has a report after the end. The part before is
  closed, and people are told of the part after it.

Whatever the pace, the reports after the last end are one open alert in the end, of which people are told under its key. An outcome
without it is not correct, even if these rules lead to it.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import combinations
from typing import NamedTuple

from deploy.simulator.applied import AppliedEvent
from deploy.simulator.expected import Values
from deploy.simulator.provider_events import ENDS

_REPORT = "customer_mia"


class _Alert(NamedTuple):
    """An alert, by the index of its events. `closed_by` is None while it is open."""

    opened_by: int
    first: datetime
    last: datetime
    closed_by: int | None = None

    def extended(self, time: datetime) -> "_Alert":
        return self._replace(first=min(self.first, time), last=max(self.last, time))


class _State(NamedTuple):
    """The events in the history, the reports that were handled, the alerts, and the reports people were told of."""

    history: frozenset[int] = frozenset()
    reported: frozenset[int] = frozenset()
    alerts: frozenset[_Alert] = frozenset()
    told: frozenset[int] = frozenset()


class Outcome(NamedTuple):
    """One correct outcome: the rows by identity, and the identities under which people are told."""

    rows: dict[str, Values]
    told: frozenset[str]


def outcomes_of(events: Sequence[AppliedEvent]) -> list[Outcome]:
    """Return every correct outcome of an order's events, given oldest first."""
    relevant = [each for each in events if each.event.kind == _REPORT or each.event.kind in ENDS]
    if not any(each.event.kind == _REPORT for each in relevant):
        return [Outcome({}, frozenset())]
    lanes = _Lanes(relevant)
    waiting, seen = [_State()], {_State()}
    ended = set[tuple[frozenset[_Alert], frozenset[int]]]()
    while waiting:
        state = waiting.pop()
        after = set(lanes.next_states(state))
        if not after and lanes.is_correct(state):
            ended.add((state.alerts, state.told))
        waiting += after - seen
        seen |= after
    return [lanes.outcome(alerts, told) for alerts, told in sorted(ended, key=str)]


class _Lanes:
    """The two queues on the events of one order, oldest first."""

    def __init__(self, events: Sequence[AppliedEvent]) -> None:
        self._events = events
        self._at = [each.ordered_at for each in events]
        self._ends = [index for index, each in enumerate(events) if each.event.kind in ENDS]
        self._ends.sort(key=lambda end: (self._at[end], events[end].source["event_id"]))
        self._reports = [index for index, each in enumerate(events) if each.event.kind == _REPORT]
        self._reports.sort(key=lambda report: (self._at[report], events[report].identity))

    def next_states(self, state: _State) -> Iterator[_State]:
        """Yield what one more report, or one more batch of the timeline, leads to."""
        for report in self._reports:
            if report not in state.reported:
                yield self._report(report, state)._replace(reported=state.reported | {report})
        waiting = [index for index in range(len(self._events)) if index not in state.history]
        for size in range(1, len(waiting) + 1):
            for batch in combinations(waiting, size):
                yield self._settle(batch, state._replace(history=state.history | set(batch)))

    def outcome(self, alerts: Iterable[_Alert], told: Iterable[int]) -> Outcome:
        """Return the rows of the ledger."""
        rows = {self._events[each.opened_by].identity: self._row(each) for each in alerts}
        return Outcome(rows, frozenset(self._events[each].identity for each in told))

    def is_correct(self, state: _State) -> bool:
        """Whether the reports after the last end are one open alert that people are told of, and no other alert is open."""
        last_end = max((self._at[end] for end in self._ends), default=None)
        group = [each for each in self._reports if last_end is None or self._at[each] > last_end]
        still_open = [each for each in state.alerts if each.closed_by is None]
        if not group or not still_open:
            return not group and not still_open
        (alert,) = still_open
        times = self._at[group[0]], self._at[group[-1]]
        return alert.opened_by in state.told and alert.opened_by in group and (alert.first, alert.last) == times

    def _report(self, report: int, state: _State) -> _State:
        at = self._at[report]
        ends = [end for end in self._ends if end in state.history and self._at[end] >= at]
        if any(self._events[end].id < self._events[report].id for end in ends):
            return state
        if ends and any(each.first <= at <= each.last for each in state.alerts):
            return state
        closed_by = ends[0] if ends else None
        same = next((each for each in state.alerts if each.closed_by == closed_by), None)
        new = same.extended(at) if same else _Alert(report, at, at, closed_by)
        told = state.told if ends else state.told | {new.opened_by}
        return state._replace(alerts=(state.alerts - {same}) | {new}, told=told)

    def _settle(self, batch: Iterable[int], state: _State) -> _State:
        alert = next((each for each in state.alerts if each.closed_by is None), None)
        if alert is None:
            return state
        ends = [end for end in self._ends if end in batch and self._at[end] >= alert.last]
        if ends:
            return state._replace(alerts=(state.alerts - {alert}) | {alert._replace(closed_by=ends[0])})
        within = [end for end in self._ends if end in state.history and self._at[end] < alert.last]
        after = [each for each in self._reports if within and each in state.history and self._at[each] > self._at[within[-1]]]
        return self._split(alert, within, after, state) if after else state

    def _split(self, alert: _Alert, ends: Sequence[int], after: Sequence[int], state: _State) -> _State:
        """Split the open alert at the last of these ends."""
        end = self._at[ends[-1]]
        start = self._at[after[0]]
        if alert.first > end:
            parts, told = {alert._replace(first=min(alert.first, start))}, state.told
        else:
            before = [each for each in self._reports if each in state.history and alert.first <= self._at[each] <= end]
            last = max([alert.first, *(self._at[each] for each in before)])
            closed_by = next(each for each in ends if self._at[each] >= last)
            if alert.opened_by in after:
                parts, told = {alert._replace(first=start)}, state.told
                if before and not any(each.opened_by == before[0] for each in state.alerts):
                    parts.add(_Alert(before[0], alert.first, last, closed_by))
            else:
                parts, told = {alert._replace(last=last, closed_by=closed_by)}, state.told | {after[0]}
                if not any(each.opened_by == after[0] for each in state.alerts):
                    parts.add(_Alert(after[0], start, alert.last))
        return state._replace(alerts=(state.alerts - {alert}) | parts, told=told)

    def _row(self, alert: _Alert) -> Values:
        opened_by, end = self._events[alert.opened_by], None if alert.closed_by is None else self._events[alert.closed_by]
        reported: Values = {"first_reported_at": alert.first, "last_reported_at": alert.last}
        closed: Values = {"closed_at": end and end.ordered_at, "closed_by": end and end.source["event_id"]}
        return opened_by.source | {"provider": opened_by.event.provider} | reported | closed
