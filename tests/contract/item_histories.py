"""Whole item-list histories of an order, as bodies, and a model of their effects that knows which line is which."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import strategies as st

from schemas.events import Effect, Event
from tests.contract.handler_events import at
from workers.ledger.event_order import ordering_key
from workers.testing import load_event

Values = dict[str, Any]


@dataclass(frozen=True)
class TrueLine:
    """A line. `group`: lines of one group have the same codes, name and number. `quantity` tells them apart, or is None."""

    group: str
    has_codes: bool
    quantity: int | None

    def item(self, by: str | None, effect: Effect, is_detailed: bool) -> Values:
        """As an item list shows it. `by`: what replaces it; any text if it is refunded. `is_detailed`: with more codes."""
        shown: Values = {"name": self.group, "qty": self.quantity}
        if self.has_codes:
            shown |= {"item_rrc": f"rrc-{self.group}"} | ({"requested_item_rrc": f"req-{self.group}"} if is_detailed else {})
        if effect is Effect.REFUND:
            return shown | {"refunded": by is not None}
        return shown | ({"replacement": {"product_id": by}} if by else {})


class Shown(NamedTuple):
    """A list: its minute, and of each line, by its number, what it says, in the list's order."""

    minute: int
    states: tuple[tuple[int, str | None], ...]
    detailed: frozenset[str]


class History(NamedTuple):
    """The lines of an order and its lists."""

    lines: tuple[TrueLine, ...]
    lists: tuple[Shown, ...]

    def events(self, order: str, effect: Effect, first_arrival: int = 0) -> list[Event]:
        """The lists as events of this order."""
        return [self._event(order, effect, each, first_arrival + number) for number, each in enumerate(self.lists)]

    def _event(self, order: str, effect: Effect, shown: Shown, arrival: int) -> Event:
        items = [self.lines[number].item(by, effect, self.lines[number].group in shown.detailed) for number, by in shown.states]
        name = "refund" if effect is Effect.REFUND else "replacement"
        body = {
            "event_id": arrival,
            "event_name": f"fulfillment.order_item_{name}",
            "event_timestamp": at(shown.minute).isoformat(),
            "event_metadata": {"order_id": order, "order_items": items},
        }
        return load_event("instacart", json.dumps(body).encode(), f"{1_800_000_000_000 + arrival}-0")

    def in_order(self, events: Sequence[Event]) -> Iterator[tuple[Event, Shown]]:
        """The lists as the provider sent them, each with its event."""
        return iter(sorted(zip(events, self.lists, strict=True), key=lambda each: ordering_key(each[0])))

    def states_of(self, number: int, events: Sequence[Event]) -> list[tuple[Event, str | None]]:
        """What each list that shows a line says of it."""
        return [(event, dict(shown.states)[number]) for event, shown in self.in_order(events) if number in dict(shown.states)]


@st.composite
def histories(draw: st.DrawFn, *, are_alike: bool = False) -> History:
    """Five to eight lists of up to five lines. The first shows all of them; later ones drop lines, or whole groups.

    `are_alike`: nothing tells the lines of a group apart.
    """
    lines: list[TrueLine] = []
    for group in "ABC"[: draw(st.integers(1, 3))]:
        has_codes = draw(st.booleans())
        size = draw(st.integers(1, 3))
        lines += [TrueLine(group, has_codes, None if are_alike else number + 1) for number in range(size)]
    states = st.none() | st.sampled_from(["oat", "soy"])
    lists = []
    for minute in range(draw(st.integers(5, 8))):
        gone = draw(st.sets(st.sampled_from(range(len(lines))))) if minute else set[int]()
        groups = {lines[number].group for number in gone}
        present = [
            number for number, line in enumerate(lines) if (line.group not in groups if are_alike else number not in gone)
        ]
        shown = tuple((number, draw(states)) for number in draw(st.permutations(present)))
        lists.append(Shown(minute, shown, frozenset(draw(st.sets(st.sampled_from("ABC"))))))
    return History(tuple(lines), tuple(lists))


def expected_refunds(history: History, events: Sequence[Event]) -> list[Values]:
    """The refunds, of which line by its group and quantity."""
    found = []
    for number, line in enumerate(history.lines):
        states = history.states_of(number, events)
        if refunding := [event for event, by in states if by]:
            found.append(_named(line) | _first(refunding[0]) | _withdrawn(states))
    return found


def expected_replacements(history: History, events: Sequence[Event]) -> list[Values]:
    """The replacements, of which line by its group and quantity."""
    found = []
    for number, line in enumerate(history.lines):
        states = history.states_of(number, events)
        current = next((by for _, by in reversed(states) if by), None)
        for substitute in {by for _, by in states if by}:
            first = next(event for event, by in states if by == substitute)
            fate: Values = {"superseded_by": None} | _withdrawn(states)
            if substitute != current:
                fate = {"superseded_by": current, "withdrawn_by": None, "withdrawn_at": None}
            found.append(_named(line) | {"substitute": substitute} | _first(first) | fate)
    return found


def _named(line: TrueLine) -> Values:
    return {"product_name": line.group, "quantity": line.quantity}


def _first(event: Event) -> Values:
    return {"event_id": event.event_id, "occurred_at": event.occurred_at}


def _withdrawn(states: Sequence[tuple[Event, str | None]]) -> Values:
    by = None
    for event, state in reversed(states):
        if state:
            break
        by = event
    return {"withdrawn_by": by and by.event_id, "withdrawn_at": by and by.occurred_at}


def most_and_last(history: History, group: str, events: Sequence[Event]) -> tuple[int, int]:
    """How many lines of a group were refunded at once at the most, and how many are by the last list that shows them."""
    numbers = {number for number, line in enumerate(history.lines) if line.group == group}
    counts = []
    for _, shown in history.in_order(events):
        states = [by for number, by in shown.states if number in numbers]
        counts += [sum(by is not None for by in states)] if states else []
    return max(counts), counts[-1]
