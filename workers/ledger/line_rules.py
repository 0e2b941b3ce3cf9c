"""The rules that tie lines of an item list to known lines, the first that counts first (`workers.ledger.line_matching`). Pure."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence, Set
from typing import NamedTuple

from workers.ledger.item_lines import ANY_KIND, ListedLine, TrackedLine

Keys = Sequence[Hashable]
AnyLine = ListedLine | TrackedLine


class Rule(NamedTuple):
    """Ties a known line to a listed line if they have a key in common."""

    of_known: Callable[[TrackedLine], Keys]
    of_listed: Callable[[ListedLine], Keys]


def rules_for(known: Sequence[TrackedLine], lines: Sequence[ListedLine], apart: Set[str]) -> Iterator[Rule]:
    """The rules that can tie anything here."""
    values = {value for line in lines for _, value in line.codes}
    yield _numbered_amount(known)
    if not all(values.isdisjoint(each.values) for each in known):
        yield from _by_code(apart) if apart else _BY_CODE
    yield from _by_name(known)
    in_list, in_known = (Counter(each.number for each in side) for side in (lines, known))
    yield Rule(lambda each: _unique(each, in_known), lambda each: _unique(each, in_list))
    yield Rule(_nothing, _nothing)


def _numbered_amount(known: Sequence[TrackedLine]) -> Rule:
    """Rule 0. A line without a name may be one of any name."""
    all_kinds = list(dict.fromkeys(each.kinds for each in known))

    def of_known(line: TrackedLine) -> Keys:
        if line.number is None or line.amount[0] is None:
            return ()
        said = (line.number, line.amount, line.kinds)
        return [(*said, "named", line.name) if line.name else (*said, "unnamed"), (*said, "any")]

    def of_listed(line: ListedLine) -> Keys:
        if line.number is None or line.amount[0] is None:
            return ()
        own = {kind for kind, _ in line.codes}
        kinds = (each for each in all_kinds if _agree(each, own))
        said = [(line.number, line.amount, each) for each in kinds]
        if line.name is None:
            return [(*each, "any") for each in said]
        return [key for each in said for key in ((*each, "named", line.name), (*each, "unnamed"))]

    return Rule(of_known, of_listed)


def _by_name(known: Sequence[TrackedLine]) -> Iterator[Rule]:
    all_kinds = list(dict.fromkeys(each.kinds for each in known))

    def keys_of(line: ListedLine, name: Hashable) -> Keys:
        own = {kind for kind, _ in line.codes}
        return () if name is None else [(name, kinds) for kinds in all_kinds if _agree(kinds, own)]

    yield Rule(lambda each: [(_numbered_name(each), each.kinds)], lambda each: keys_of(each, _numbered_name(each)))
    yield Rule(lambda each: [(each.name, each.kinds)], lambda each: keys_of(each, each.name))
    yield Rule(lambda each: [(each.number, each.kinds)], lambda each: keys_of(each, each.number))


def _agree(kinds: Set[str], others: Set[str]) -> bool:
    """Whether codes of these kinds, no two of which are equal, can be those of one line."""
    return not kinds or not others or (kinds.isdisjoint(others) and ANY_KIND not in kinds | others)


def _values(line: ListedLine) -> list[str]:
    return [value for _, value in line.codes]


def _numbered(line: AnyLine, values: Iterable[str]) -> Keys:
    return [(line.number, value) for value in values] if line.number else ()


def _numbered_name(line: AnyLine) -> Hashable:
    return (line.number, line.name) if line.number and line.name else None


def _unique(line: AnyLine, counts: Counter[str | None]) -> Keys:
    return [line.number] if line.number and counts[line.number] == 1 else ()


def _nothing(line: AnyLine) -> Keys:
    codes = line.values if isinstance(line, TrackedLine) else line.codes
    return () if line.number or codes or line.name else [None]


def _not_apart(line: AnyLine, values: Iterable[str], apart: Set[str]) -> Keys:
    """Keys of codes. A code whose lines numbers tell apart ties no two lines of different numbers."""
    keys: list[Hashable] = [value for value in values if value not in apart]
    for value in values:
        if value in apart:
            is_known = isinstance(line, TrackedLine)
            keys += [(value, "numberless")] if line.number is None or is_known else []
            keys += [(value, "numbered")] if line.number is None or not is_known else []
    return keys


def _codes(apart: Set[str]) -> tuple[Rule, ...]:
    return (
        Rule(lambda each: _numbered(each, each.strongest), lambda each: _numbered(each, _values(each)[:1])),
        Rule(lambda each: _not_apart(each, each.strongest, apart), lambda each: _not_apart(each, _values(each)[:1], apart)),
        Rule(lambda each: _numbered(each, each.values), lambda each: _numbered(each, _values(each))),
        Rule(lambda each: _not_apart(each, each.values, apart), lambda each: _not_apart(each, _values(each), apart)),
    )


def _with(rule: Rule, of_line: Callable[[AnyLine], Hashable]) -> Rule:
    """The rule, for lines that also have this in common; a line that does not state it is not tied."""

    def keys(line: AnyLine, its: Keys) -> Keys:
        stated = of_line(line)
        return () if stated is None else [(key, stated) for key in its]

    return Rule(lambda each: keys(each, rule.of_known(each)), lambda each: keys(each, rule.of_listed(each)))


def _amount(line: AnyLine) -> Hashable:
    return None if line.amount[0] is None else line.amount


def _name_and_amount(line: AnyLine) -> Hashable:
    return None if line.name is None or line.amount[0] is None else (line.name, line.amount)


def _by_code(apart: Set[str]) -> tuple[Rule, ...]:
    """Lines of one name and amount first, then of one amount, then others."""
    rules = _codes(apart)
    return (
        *(_with(rule, _name_and_amount) for rule in rules),
        *(_with(rule, _amount) for rule in rules),
        *rules,
    )


_BY_CODE = _by_code(frozenset())
