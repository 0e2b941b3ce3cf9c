"""What the line numbers and codes of an order are worth. All its lists say it. Pure.

Two lines of one code with different numbers in one list: numbers tell lines of that code apart. A product under different numbers,
and one of them with different products: numbers are places, and decide nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from schemas.events import Line
from schemas.parsing.texts import MAX_KEY_CHARS
from workers.ledger.item_lines import plain_code

LineName = tuple[str | None, tuple[tuple[str, str], ...], str | None]
"""A line's number, codes and name."""


def are_plain(lists: Sequence[Sequence[LineName]]) -> bool:
    """Whether each number and each code names one and the same line in all lists, and no list shows a line twice.

    Then no rule of `workers.ledger.line_matching` ties two lines but these: lines that have a kind of code in common are not tied
    by their names. Keys that may have been cut are not plain.
    """
    owners: dict[str, LineName] = {}
    kinds: set[str] | None = None
    known: set[LineName] = set()
    for names in lists:
        if len(set(names)) < len(names):
            return False
        for name in names:
            if name in known:
                continue
            known.add(name)
            number, codes, _ = name
            own = {kind for kind, _ in codes}
            kinds = own if kinds is None else kinds & own
            if not kinds or len(number or codes[0][1]) >= MAX_KEY_CHARS:
                return False
            for value in (number, *(value for _, value in codes)):
                if value and owners.setdefault(plain_code(value), name) is not name:
                    return False
    return True


def numbers_are_places(lists: Iterable[Sequence[Line]]) -> bool:
    """Whether the line numbers of an order are places in its lists."""
    numbers_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    codes_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in (line for lines in lists for line in lines):
        if line.number and line.codes and line.substitute is None:
            kind, value = line.codes[0]
            numbers_of[kind, plain_code(value)].add(line.number)
            codes_of[line.number, kind].add(plain_code(value))
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
                codes = (plain_code(value) for _, value in line.codes)
                apart.update(code for code in codes if number_of.setdefault(code, line.number) != line.number)
    return frozenset(apart)
