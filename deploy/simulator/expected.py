"""The rows that the ledger must hold for an order, worked out from the applied events by the documented rules. Pure.

Rules: the newest value by the provider's time is current. Each event is one line of history. Lateness is measured against
the promise of that time. Each row names the event that it comes from. Refunds and replacements are in `expected_items`; what
depends on how the queues keep pace with each other is in `missing_customer` and `expected_alerts`.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from deploy.simulator.applied import AppliedEvent, known_identity, received_at
from deploy.simulator.expected_items import expected_refunds, expected_replacements
from deploy.simulator.provider_events import PROMISES, Window
from schemas.events import Kind

Values = dict[str, Any]

_KNOWN_KINDS = frozenset(Kind)
_STATED = ("status", "fulfillment_type", "number", "expected_at")


class Expected(NamedTuple):
    """The rows of one order, by key; those of lines without one, since a line's key depends on what is sent of it."""

    state: dict[Any, Values]
    history: dict[Any, Values]
    replacements: list[Values]
    refunds: list[Values]
    late: dict[Any, Values]


def expect(events: Sequence[AppliedEvent]) -> Expected:
    """Return the rows of the order that these events are about, given oldest first."""
    return Expected(
        state={"": _state(events)},
        history={history_key(events, index): _history(each) for index, each in enumerate(events)},
        replacements=expected_replacements(events),
        refunds=expected_refunds(events),
        late=_late(events),
    )


def history_key(events: Sequence[AppliedEvent], index: int) -> tuple[Any, ...]:
    """Return what an event is called in a difference. It is the event's own also where an order has two alike."""
    its = events[index]
    alike = [each for each in events[:index] if (each.event.name, each.event.at) == (its.event.name, its.event.at)]
    return (its.event.name, its.event.at, f"#{len(alike) + 1}" if alike else None)


def _state(events: Sequence[AppliedEvent]) -> Values:
    """Return the current state: the last stated value of each field."""
    state: Values = dict.fromkeys((*_STATED, "status_at", "promised_at"))
    for each in events:
        event = each.event
        stated = {name: getattr(event, name) for name in _STATED} | {"status_at": event.status and each.occurred_at}
        stated |= {"promised_at": event.expected_at if event.kind in PROMISES else None}
        state |= {name: value for name, value in stated.items() if value is not None}
    times = [each.ordered_at for each in events]
    return state | {"provider": events[0].event.provider, "first_event_at": min(times), "last_event_at": max(times)}


def _history(its: AppliedEvent) -> Values:
    event, identity = its.event, known_identity(its.event)
    stated: Values = {
        "provider": event.provider,
        "name": event.name,
        "kind": event.kind if event.kind in _KNOWN_KINDS else Kind.UNRECOGNISED.value,
        "status": event.status,
        "expected_at": event.expected_at,
        "provider_event_id": event.provider_event_id,
        "ordered_at": None if its.ordered_at == its.occurred_at <= received_at(its.id) else its.ordered_at,
        "has_time": its.has_time,
    }
    return its.source | stated | ({"identity": identity} if identity else {})


def _late(events: Sequence[AppliedEvent]) -> dict[Any, Values]:
    """Return the newest lateness, against the promise that its event states, or else the promise of that time."""
    late: dict[Any, Values] = {}
    for each in events:
        event = each.event
        if event.kind == "late_delivery":
            promise = promise_at(events, each)
            measured = {"promised_at": promise, "expected_at": event.expected_at, "minutes_late": minutes_late(each, promise)}
            windows = _window("old", event.old_window) | _window("new", event.new_window)
            late = {"": each.source | {"provider": event.provider} | windows | measured}
    return late


def promise_at(events: Sequence[AppliedEvent], late: AppliedEvent) -> Any:
    """Return the promise that a late delivery is measured against; None if it is not known."""
    if late.event.old_window and late.event.new_window:
        return late.event.old_window.ends_at
    made = [each for each in events if each.event.kind in PROMISES and each.ordered_at <= late.ordered_at]
    return next((each.event.expected_at for each in reversed(made) if each.event.expected_at), None)


def minutes_late(late: AppliedEvent, promise: Any) -> int | None:
    """Return the whole minutes from the promise to the new time; None while either is unknown."""
    expected_at = late.event.expected_at
    return (expected_at - promise) // timedelta(minutes=1) if promise and expected_at else None


def _window(which: str, window: Window | None) -> Values:
    return {f"{which}_window_{name}": window and getattr(window, name) for name in ("starts_at", "ends_at")}
