"""Which line of an item list is which line of the lists before. Pure.

A provider lists the whole order each time: in any order, with codes that come and go, with several lines of one product. A
list's lines are matched one to one with the known lines. The first of these rules that ties two lines decides:

1. the same line number, and the strongest code of the list's line was the strongest of the known line;
2. the same strongest code, likewise; not if numbers tell lines of that code apart (see below);
3. the same line number and a code in common, of whatever kinds;
4. a code in common, of whatever kinds; likewise;
5. the same line number and name, unless codes of one kind differ;
6. the same name, unless codes of one kind differ;
7. the same line number, unless codes of one kind differ;
8. the same line number alone, if it is unique in the list and among the known lines;
9. nothing: neither line has a number, a code or a name.

Rules 1 to 4 first tie lines of one quantity and unit, then others: a quantity tells lines of one product apart. If a rule ties a
line to several, one with equal quantity and unit goes first, then one with equal quantity, then one that stands alike (refunded or not, replaced by the same
product or not). Then a line that is refunded or replaced takes one that has been before, and any other line one that has not.
The place in the list decides nothing. Lines that no rule ties are two lines.

All lists of an order say what its line numbers are worth. Two lines of one code with different numbers in one list: numbers tell
lines of that code apart. A product under different numbers, and one of them with different products: numbers are places, and
decide nothing.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence, Set
from typing import NamedTuple

from schemas.events import Line
from workers.ledger.item_lines import ANY_KIND, ListedLine, TrackedLine

Pair = tuple[ListedLine, TrackedLine | None]
_Keys = Sequence[Hashable]
_Line = ListedLine | TrackedLine
_Preference = Callable[[_Line], Hashable]


class _Rule(NamedTuple):
    """Ties a known line to a listed line if they have a key in common."""

    of_known: Callable[[TrackedLine], _Keys]
    of_listed: Callable[[ListedLine], _Keys]


def numbers_are_places(lists: Iterable[Sequence[Line]]) -> bool:
    """Whether the line numbers of an order are places in its lists."""
    numbers_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    codes_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in (line for lines in lists for line in lines):
        if line.number and line.codes and line.substitute is None:
            kind, value = line.codes[0]
            numbers_of[kind, value].add(line.number)
            codes_of[line.number, kind].add(value)
    return any(
        len(numbers) > 1 and any(len(codes_of[number, kind]) > 1 for number in numbers)
        for (kind, _), numbers in numbers_of.items()
    )


def codes_told_apart(lists: Iterable[Sequence[Line]]) -> frozenset[str]:
    """The codes of which one list shows several lines, each with a number of its own."""
    apart: set[str] = set()
    for lines in lists:
        number_of: dict[str, str] = {}
        for line in lines:
            if line.number:
                apart.update(value for _, value in line.codes if number_of.setdefault(value, line.number) != line.number)
    return frozenset(apart)


def match(known: Sequence[TrackedLine], lines: Sequence[ListedLine], apart: Set[str] = frozenset()) -> list[Pair]:
    """Each line of a list with the known line that it is, or None. The order depends on what the lines say alone.

    `apart`: the codes of which numbers tell lines apart.
    """
    free = sorted(lines, key=ListedLine.sort_key)
    if not known:
        return [(each, None) for each in free]
    for each in known:
        each.is_taken = False
    candidates = [each for each in known if not each.has_effect] + [each for each in reversed(known) if each.has_effect]
    pairs: list[Pair] = []
    for rule in _rules(known, lines, apart):
        pairs += _apply(rule, candidates, free)
        free = [each for each in free if not each.is_taken]
        candidates = [each for each in candidates if not each.is_taken]
        if not free or not candidates:
            break
    return pairs + [(each, None) for each in free]


def _apply(rule: _Rule, candidates: Sequence[TrackedLine], free: Sequence[ListedLine]) -> Iterator[Pair]:
    """The pairs that this rule ties."""
    by_key: dict[Hashable, list[TrackedLine]] = defaultdict(list)
    for known in candidates:
        for key in rule.of_known(known):
            by_key[key].append(known)
    tied = [(line, keys) for line in free if (keys := [key for key in rule.of_listed(line) if key in by_key])]
    if not tied:
        return
    if _is_clear(by_key, tied):
        for line, keys in tied:
            yield _take(line, by_key[keys[0]][0])
        return
    for preference in _PREFERENCES:
        preferred = _preferred(by_key, preference)
        for line, keys in tied:
            if (known_line := _best(preferred, line, keys, preference(line))) is not None:
                yield _take(line, known_line)
        if not (tied := [each for each in tied if not each[0].is_taken]):
            return


def _take(line: ListedLine, known: TrackedLine) -> Pair:
    line.is_taken = known.is_taken = True
    return line, known


def _is_clear(by_key: dict[Hashable, list[TrackedLine]], tied: Sequence[tuple[ListedLine, _Keys]]) -> bool:
    """Whether each line is tied to one known line that no other is tied to."""
    if sum(len(by_key[key]) for _, keys in tied for key in keys) != len(tied):
        return False
    return len({id(by_key[keys[0]][0]) for _, keys in tied}) == len(tied)


def _preferred(by_key: dict[Hashable, list[TrackedLine]], preference: _Preference) -> dict[Hashable, deque[TrackedLine]]:
    """The free candidates of each key and preference; those that have shown the effect come last."""
    found: dict[Hashable, deque[TrackedLine]] = defaultdict(deque)
    for key, candidates in by_key.items():
        for each in candidates:
            if not each.is_taken:
                found[key, preference(each)].append(each)
    return found


def _best(
    preferred: dict[Hashable, deque[TrackedLine]], line: ListedLine, keys: _Keys, of_line: Hashable
) -> TrackedLine | None:
    has_effect = line.state is not None and line.state[0]
    for key in keys:
        candidates = preferred.get((key, of_line))
        while candidates:
            if not (candidate := candidates.pop() if has_effect else candidates.popleft()).is_taken:
                return candidate
    return None


_PREFERENCES: Sequence[_Preference] = (
    lambda each: (each.amount, each.state),
    lambda each: (each.amount, each.state and each.state[0]),
    lambda each: each.amount,
    lambda each: (each.amount[0], each.state and each.state[0]),
    lambda each: each.amount[0],
    lambda each: each.state,
    lambda each: each.state and each.state[0],
    lambda each: None,
)


def _rules(known: Sequence[TrackedLine], lines: Sequence[ListedLine], apart: Set[str]) -> Iterator[_Rule]:
    """The rules that can tie anything here."""
    values = {value for line in lines for _, value in line.codes}
    if not all(values.isdisjoint(each.values) for each in known):
        yield from _by_code(apart) if apart else _BY_CODE
    yield from _by_name(known)
    in_list, in_known = (Counter(each.number for each in side) for side in (lines, known))
    yield _Rule(lambda each: _unique(each, in_known), lambda each: _unique(each, in_list))
    yield _Rule(_nothing, _nothing)


def _by_name(known: Sequence[TrackedLine]) -> Iterator[_Rule]:
    all_kinds = list(dict.fromkeys(each.kinds for each in known))

    def keys_of(line: ListedLine, name: Hashable) -> _Keys:
        own = {kind for kind, _ in line.codes}
        return () if name is None else [(name, kinds) for kinds in all_kinds if _agree(kinds, own)]

    yield _Rule(lambda each: [(_numbered_name(each), each.kinds)], lambda each: keys_of(each, _numbered_name(each)))
    yield _Rule(lambda each: [(each.name, each.kinds)], lambda each: keys_of(each, each.name))
    yield _Rule(lambda each: [(each.number, each.kinds)], lambda each: keys_of(each, each.number))


def _agree(kinds: Set[str], others: Set[str]) -> bool:
    """Whether codes of these kinds, no two of which are equal, can be those of one line."""
    return not kinds or not others or (kinds.isdisjoint(others) and ANY_KIND not in kinds | others)


def _values(line: ListedLine) -> list[str]:
    return [value for _, value in line.codes]


def _numbered(line: _Line, values: Iterable[str]) -> _Keys:
    return [(line.number, value) for value in values] if line.number else ()


def _numbered_name(line: _Line) -> Hashable:
    return (line.number, line.name) if line.number and line.name else None


def _unique(line: _Line, counts: Counter[str | None]) -> _Keys:
    return [line.number] if line.number and counts[line.number] == 1 else ()


def _nothing(line: _Line) -> _Keys:
    codes = line.values if isinstance(line, TrackedLine) else line.codes
    return () if line.number or codes or line.name else [None]


def _not_apart(line: _Line, values: Iterable[str], apart: Set[str]) -> _Keys:
    """Keys of codes. A code whose lines numbers tell apart ties no two lines of different numbers."""
    keys: list[Hashable] = [value for value in values if value not in apart]
    for value in values:
        if value in apart:
            is_known = isinstance(line, TrackedLine)
            keys += [(value, "numberless")] if line.number is None or is_known else []
            keys += [(value, "numbered")] if line.number is None or not is_known else []
    return keys


def _codes(apart: Set[str]) -> tuple[_Rule, ...]:
    return (
        _Rule(lambda each: _numbered(each, each.strongest), lambda each: _numbered(each, _values(each)[:1])),
        _Rule(lambda each: _not_apart(each, each.strongest, apart), lambda each: _not_apart(each, _values(each)[:1], apart)),
        _Rule(lambda each: _numbered(each, each.values), lambda each: _numbered(each, _values(each))),
        _Rule(lambda each: _not_apart(each, each.values, apart), lambda each: _not_apart(each, _values(each), apart)),
    )


def _of_one_amount(rule: _Rule) -> _Rule:
    return _Rule(lambda each: _with_amount(each, rule.of_known(each)), lambda each: _with_amount(each, rule.of_listed(each)))


def _with_amount(line: _Line, keys: _Keys) -> _Keys:
    return () if line.amount[0] is None else [(key, line.amount) for key in keys]


def _by_code(apart: Set[str]) -> tuple[_Rule, ...]:
    rules = _codes(apart)
    return (*map(_of_one_amount, rules), *rules)


_BY_CODE = _by_code(frozenset())
