"""Which line of an item list is which line of the lists before. Pure.

A provider lists the whole order each time: in any order, with codes that come and go, with several lines of one product. A
list's lines are matched one to one with the known lines. The first of these rules that ties two lines decides:

0. the same line number, quantity and unit, and no other name, if one of the two has no code of a kind that the other has;
1. the same line number, and the strongest code of the list's line was the strongest of the known line;
2. the same strongest code, likewise; not if numbers tell lines of that code apart (see below);
3. the same line number and a code in common, of whatever kinds;
4. a code in common, of whatever kinds; likewise;
5. the same line number and name, unless codes of one kind differ;
6. the same name, unless codes of one kind differ;
7. the same line number, unless codes of one kind differ;
8. the same line number alone, if it is unique in the list and among the known lines;
9. nothing: neither line has a number, a code or a name.

Rules 1 to 4 first tie lines of one name, quantity and unit, then of one quantity and unit, then others: these tell lines of one
product apart. A code or number counts without its leading zeros, a name without regard to case and space. If a rule ties a
line to several, one with equal quantity and unit goes first, then one with equal quantity, then one that stands alike (refunded or not, replaced by the same
product or not). Then a line that is refunded or replaced takes one that has been before, and any other line one that has not.
The place in the list decides nothing. Lines that no rule ties are two lines.

`workers.ledger.line_numbers` says what line numbers are worth.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence, Set

from workers.ledger.item_lines import ListedLine, TrackedLine
from workers.ledger.line_rules import AnyLine, Keys, Rule, rules_for

Pair = tuple[ListedLine, TrackedLine | None]
_Preference = Callable[[AnyLine], Hashable]


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
    for rule in rules_for(known, lines, apart):
        pairs += _apply(rule, candidates, free)
        free = [each for each in free if not each.is_taken]
        candidates = [each for each in candidates if not each.is_taken]
        if not free or not candidates:
            break
    return pairs + [(each, None) for each in free]


def _apply(rule: Rule, candidates: Sequence[TrackedLine], free: Sequence[ListedLine]) -> Iterator[Pair]:
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


def _is_clear(by_key: dict[Hashable, list[TrackedLine]], tied: Sequence[tuple[ListedLine, Keys]]) -> bool:
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


def _best(preferred: dict[Hashable, deque[TrackedLine]], line: ListedLine, keys: Keys, of_line: Hashable) -> TrackedLine | None:
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
