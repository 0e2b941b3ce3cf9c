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
from workers.ledger.line_numbers import LineName, are_plain, codes_told_apart, numbers_are_places
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
    """The lists that show the state of a line, oldest first.

    `key`: what its rows are named after. `row_key`: the key of the row of a former release that it begins with.
    """

    key: str
    row_key: str | None
    shown: list[Shown]

    @property
    def has_effect(self) -> bool:
        """Whether a list has shown the effect."""
        return any(each.has_effect for each in self.shown)

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


Tracked = dict[TrackedLine, list[Shown]]
"""The lines known so far, and the lists that show the state of each."""


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
    ordered = sorted(lists, key=lambda each: (not each.is_row, each.news, each.identity))
    if (found := of_plain_lines(ordered, state_of)) is None:
        found = of_matched_lines(ordered, state_of)
    with_effect = [each for each in found if each.has_effect]
    return with_effect if len(with_effect) < 2 else sorted(with_effect, key=lambda each: each.first.by.news)


def of_plain_lines(ordered: Sequence[ItemList], state_of: StateOf) -> list[LineHistory] | None:
    """The histories if no line has to be matched, as of most orders. None if `are_plain` does not hold."""
    found: dict[LineName, LineHistory] = {}
    names = [[(line.number, line.codes, line.name) for line in by.lines] for by in ordered]
    if any(by.is_row for by in ordered) or not are_plain(names):
        return None
    for by, names_of_lines in zip(ordered, names, strict=True):
        for line, name in zip(by.lines, names_of_lines, strict=True):
            if (state := state_of(line)) is None:
                continue
            if (history := found.get(name)) is None:
                if not state[0]:
                    continue  # what was shown before the effect says nothing of it
                history = found[name] = LineHistory(line.number or line.codes[0][1], None, [])
            history.shown.append(Shown(by, line, state[0]))
    return list(found.values())


def of_matched_lines(ordered: Sequence[ItemList], state_of: StateOf) -> list[LineHistory]:
    """The histories by the rules of `workers.ledger.line_matching`."""
    found: Tracked = {}
    by_row: dict[str, TrackedLine] = {}
    lists = [each.lines for each in ordered if not each.is_row]
    are_places = any(line.number for lines in lists for line in lines) and numbers_are_places(lists)
    apart = codes_told_apart(lists)
    for each in ordered:
        if each.is_row:
            _add_row(each, state_of, found, by_row)
        else:
            _add(each._replace(lines=_without_numbers(each.lines)) if are_places else each, state_of, found, apart)
    if by_row:
        for shown in found.values():
            shown.sort(key=lambda each: each.by.news)
    return [LineHistory(tracked.key, tracked.row_key, shown) for tracked, shown in found.items()]


def _without_numbers(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines without their numbers, and with the keys that they would have then."""
    return tuple(
        line
        if line.number is None
        else replace(line, number=None, line=line.codes[0][1] if line.codes else line.name or line.line)
        for line in lines
    )


def _add(by: ItemList, state_of: StateOf, found: Tracked, apart: Set[str]) -> None:
    keys = {line.line for line in by.lines}
    lines = [ListedLine(line, state_of(line), keys) for line in by.lines]
    for listed, known in match(list(found), lines, apart):
        if known is not None:
            known.update(listed)
        shown = found.setdefault(known or TrackedLine(listed), [])
        if listed.state is not None:
            shown.append(Shown(by, listed.line, listed.state[0]))


def _add_row(by: ItemList, state_of: StateOf, found: Tracked, by_row: dict[str, TrackedLine]) -> None:
    """Rows of release 0.1 are lines of their own, by their keys: it may have refunded two lines of one product."""
    for line in by.lines:
        listed = ListedLine(line, state_of(line))
        known = by_row.setdefault(line.line, TrackedLine(listed, line.line))
        known.update(listed)
        found.setdefault(known, []).append(Shown(by, line, listed.state is not None and listed.state[0]))


def row_keys(found: Sequence[LineHistory]) -> list[str]:
    """The key of each line's rows. The second line of one key gets `#2`, and so on; what a release before named keeps its key."""
    former = {each.row_key for each in found if each.row_key}
    fresh = iter(unique_keys([each.key for each in found if not each.row_key], former))
    return [each.row_key or next(fresh) for each in found]


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
