"""What all item lists of an order say of each of its lines, whatever the order in which they were handled. Pure.

Lists are read by their ordering keys. `workers.ledger.line_matching` says which line of a list is which known line. A list that
does not show a line says nothing of it, nor does one in which the line's state could not be read.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from schemas.events import Event, Line
from schemas.identity import identity_of
from schemas.parsing.texts import free_keys
from workers.ledger.event_order import ordering_key
from workers.ledger.item_lines import ListedLine, State, TrackedLine
from workers.ledger.line_matching import match
from workers.ledger.line_numbers import codes_told_apart, numbers_are_places
from workers.ledger.upsert import Row

_OF_ROW = "row:"
StateOf = Callable[[Line], State | None]


class ItemList(NamedTuple):
    """The item list of an event."""

    identity: str
    event_id: str
    occurred_at: datetime
    received_at: datetime
    news: str
    lines: tuple[Line, ...]

    @property
    def is_row(self) -> bool:
        """Whether it is no list of an event but what a row of release 0.1 says."""
        return self.identity.startswith(_OF_ROW)


class Shown(NamedTuple):
    """A line as a list shows it."""

    by: ItemList
    line: Line
    has_effect: bool


class LineHistory(NamedTuple):
    """A line and the lists that show its state, oldest first."""

    tracked: TrackedLine
    shown: list[Shown]

    @property
    def first(self) -> Shown:
        """The first list that shows the effect."""
        return next(each for each in self.shown if each.has_effect)

    def withdrawal(self) -> ItemList | None:
        """The list since which the line is shown without the effect; None if the newest list shows it."""
        since = None
        for each in reversed(self.shown):
            if each.has_effect:
                break
            since = each.by
        return since


def list_of(event: Event) -> ItemList:
    """The item list of an event."""
    return ItemList(event.identity, event.event_id, event.occurred_at, event.received_at, ordering_key(event), event.lines)


def list_of_row(row: Row, news: str, line: Line) -> ItemList:
    """What a row of release 0.1 says of a line, as a list with this ordering key."""
    named = (row["event_id"], line.line, line.substitute.product if line.substitute else "", news)
    identity = _OF_ROW + identity_of(*named)
    return ItemList(identity, row["event_id"], row["occurred_at"], row["received_at"], news, (line,))


def histories(lists: Iterable[ItemList], state_of: StateOf) -> list[LineHistory]:
    """The history of each line that ever showed the effect, by the first list that shows it."""
    found: list[LineHistory] = []
    by_row: dict[str, LineHistory] = {}
    ordered = sorted(lists, key=lambda each: (not each.is_row, each.news, each.identity))
    shown = [each.lines for each in ordered if not each.is_row]
    are_places = any(line.number for lines in shown for line in lines) and numbers_are_places(shown)
    if len(ordered) == len(shown) == 1 and not are_places:
        return _of_only(ordered[0], state_of)
    apart = codes_told_apart(shown)
    for each in ordered:
        if each.is_row:
            _add_row(each, state_of, found, by_row)
        else:
            _add(each._replace(lines=_without_numbers(each.lines)) if are_places else each, state_of, found, apart)
    with_effect = [each for each in found if each.tracked.has_effect]
    if by_row:
        for history in with_effect:
            history.shown.sort(key=lambda shown: shown.by.news)
    return sorted(with_effect, key=lambda each: each.first.by.news)


def _of_only(by: ItemList, state_of: StateOf) -> list[LineHistory]:
    """The histories that the only list of an order gives, as most orders have it. No line of it has to be matched."""
    states = [(line, state) for line in by.lines if (state := state_of(line)) and state[0]]
    keys = {line.line for line in by.lines}
    listed = sorted((ListedLine(line, state, keys) for line, state in states), key=ListedLine.sort_key)
    return [LineHistory(TrackedLine(each), [Shown(by, each.line, has_effect=True)]) for each in listed]


def _without_numbers(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines without their numbers, and with the keys that they would have then."""
    return tuple(
        line
        if line.number is None
        else replace(line, number=None, line=line.codes[0][1] if line.codes else line.name or line.line)
        for line in lines
    )


def _add(by: ItemList, state_of: StateOf, found: list[LineHistory], apart: Set[str]) -> None:
    keys = {line.line for line in by.lines}
    history_of = {id(each.tracked): each for each in found}
    lines = [ListedLine(line, state_of(line), keys) for line in by.lines]
    for listed, tracked in match([each.tracked for each in found], lines, apart):
        if tracked is None:
            found.append(history := LineHistory(TrackedLine(listed), []))
        else:
            tracked.update(listed)
            history = history_of[id(tracked)]
        if listed.state is not None:
            history.shown.append(Shown(by, listed.line, listed.state[0]))


def _add_row(by: ItemList, state_of: StateOf, found: list[LineHistory], by_row: dict[str, LineHistory]) -> None:
    """Rows of release 0.1 are lines of their own, by their keys: it may have refunded two lines of one product."""
    for line in by.lines:
        listed = ListedLine(line, state_of(line))
        if (history := by_row.get(line.line)) is None:
            history = by_row[line.line] = LineHistory(TrackedLine(listed, line.line), [])
            found.append(history)
        history.tracked.update(listed)
        history.shown.append(Shown(by, line, listed.state is not None and listed.state[0]))


def row_keys(found: Sequence[LineHistory]) -> list[str]:
    """The key of each line's rows. The second line of one key gets `#2`, and so on; what a release before named keeps its key."""
    former = {each.tracked.row_key for each in found if each.tracked.row_key}
    fresh = iter(unique_keys([each.tracked.key for each in found if not each.tracked.row_key], former))
    return [each.tracked.row_key or next(fresh) for each in found]


def unique_keys(keys: Iterable[str], taken: Set[str] = frozenset()) -> list[str]:
    """Each key, or if it is taken the first of `#2`, `#3` … that is not."""
    found: list[str] = []
    used = set(taken)
    more: dict[str, Iterator[str]] = {}
    for key in keys:
        free = key if key not in used else next(more.setdefault(key, free_keys(key, used)))
        used.add(free)
        found.append(free)
    return found


def first_values(first: Shown, key: str) -> Row:
    """The columns that say which list first shows an effect, and on which line: under this key."""
    by, line = first.by, first.line
    return {
        "line": key,
        "event_id": by.event_id,
        "occurred_at": by.occurred_at,
        "received_at": by.received_at,
        "first_news": by.news,
        "product": line.product,
        "product_name": line.name,
        "quantity": line.quantity,
        "unit": line.unit,
    }


def withdrawal_values(withdrawal: ItemList | None) -> Row:
    """The columns that say which list takes an effect back."""
    return {
        "withdrawn_by": withdrawal and withdrawal.event_id,
        "withdrawn_at": withdrawal and withdrawal.occurred_at,
    }
