"""The rows that the ledger must hold for an order, worked out from the acknowledged events by the documented rules.

Rules: the newest value by the provider's time is current. Each event is one line of history. Only the first refund of a line
counts. The substitute listed last is current, and the others are superseded. Lateness is measured against the promise of that
time. A missing customer is one alert, closed when the order ends; no alert if the report was received after the order's end.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from deploy.simulator.provider_events import ENDS, PROMISES, ProviderEvent

Values = dict[str, Any]


class AcknowledgedEvent(NamedTuple):
    """An acknowledged event, and the first and last inbox id that it can have; None if a post of it had no response."""

    event: ProviderEvent
    first: tuple[int, int] | None
    last: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Expected:
    """The rows of one order, by key. `missing_customer` lists every outcome that is correct."""

    state: Values
    history: Counter[tuple[Any, ...]]
    replacements: dict[Any, Values]
    refunds: dict[Any, Values]
    late: Values | None
    missing_customer: list[list[Values]]


def expect(acknowledged: Iterable[AcknowledgedEvent]) -> Expected:
    """Return the rows of the order that these events are about. Pure."""
    ordered = sorted(acknowledged, key=lambda each: each.event.at)
    events = [each.event for each in ordered]
    return Expected(
        state=_state(events),
        history=Counter((event.name, event.at, event.status, event.expected_at, event.provider_event_id) for event in events),
        replacements=_replacements([event for event in events if event.kind == "order_item_replacement"]),
        refunds=_refunds([event for event in events if event.kind == "order_item_refund"]),
        late=_late(events),
        missing_customer=_missing_customer(ordered),
    )


def _state(events: Sequence[ProviderEvent]) -> Values:
    """Return the current state: the last stated value of each field."""
    state: Values = dict.fromkeys(("status", "status_at", "fulfillment_type", "number", "expected_at", "promised_at"))
    for event in events:
        stated = {"status": event.status, "status_at": event.status and event.at, "expected_at": event.expected_at}
        stated |= {"fulfillment_type": event.fulfillment_type, "number": event.number}
        stated |= {"promised_at": event.expected_at if event.kind in PROMISES else None}
        state |= {name: value for name, value in stated.items() if value is not None}
    return state | {"first_event_at": events[0].at, "last_event_at": events[-1].at}


def _replacements(events: Sequence[ProviderEvent]) -> dict[Any, Values]:
    found: dict[Any, Values] = {}
    current: dict[str, str] = {}
    for event in events:
        for line in event.lines:
            if (new := line.substitute) is not None:
                stated: Values = {
                    "product": line.product,
                    "quantity": str(line.quantity),
                    "substitute_quantity": str(new.quantity),
                }
                found.setdefault((line.line, new.product), stated | {"occurred_at": event.at})
                current[line.line] = new.product
    for (line_key, product), row in found.items():
        row["superseded_by"] = current[line_key] if current[line_key] != product else None
    return found


def _refunds(events: Sequence[ProviderEvent]) -> dict[Any, Values]:
    found: dict[Any, Values] = {}
    for event in events:
        for line in event.lines:
            if line.refunded:
                row = {"product": line.product, "quantity": str(line.quantity), "unit": line.unit, "occurred_at": event.at}
                found.setdefault(line.line, row)
    return found


def _late(events: Sequence[ProviderEvent]) -> Values | None:
    """Return the newest lateness, against the promise that its event states, or else the current promise."""
    promised_at, late = None, None
    for event in events:
        if event.kind in PROMISES and event.expected_at:
            promised_at = event.expected_at
        if event.kind == "late_delivery":
            promise = event.stated_promise or promised_at
            minutes = (event.expected_at - promise) // timedelta(minutes=1) if promise and event.expected_at else None
            late = {"occurred_at": event.at, "promised_at": promise, "expected_at": event.expected_at, "minutes_late": minutes}
    return late


def _missing_customer(acknowledged: Sequence[AcknowledgedEvent]) -> list[list[Values]]:
    """Return every correct outcome: no alert, an open alert, or an alert that the end of the order closed.

    A report received after the end opens no alert if it is also handled after the end. The order of handling depends on the
    queues, which do not wait for each other. Handled earlier, it opens an alert, and the end closes it.
    """
    reports = [each for each in acknowledged if each.event.kind == "customer_mia"]
    ends = [each for each in acknowledged if each.event.kind in ENDS]
    if not reports:
        return [[]]
    if not ends:
        return [[{"first_reported_at": reports[0].event.at, "last_reported_at": reports[-1].event.at, "closed_at": None}]]
    closed = [{"closed_at": ends[0].event.at}]
    return [closed] if any(_was_surely_received_before(report, ends[0]) for report in reports) else [closed, []]


def _was_surely_received_before(one: AcknowledgedEvent, other: AcknowledgedEvent) -> bool:
    return one.last is not None and other.first is not None and one.last < other.first
