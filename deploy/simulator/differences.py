"""A difference between expected and found rows, in one line. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from deploy.simulator.applied import Row

ABSENT = "-"


class Difference(NamedTuple):
    """One difference between the expected and the found rows."""

    order_id: str
    what: str
    expected: str
    found: str


def row_differences(
    order_id: str, what: str, expected: Mapping[Any, Row], found: Mapping[Any, Row | None]
) -> Iterator[Difference]:
    """Yield what differs between rows of the same key, and the rows that only one side has."""
    for key in [*expected, *(key for key in found if key not in expected)]:
        named = what if key == "" else f"{what} {as_words(key)}"
        row = found.get(key)
        if row is None:
            yield Difference(order_id, named, as_words(expected[key]), ABSENT)
        elif key not in expected:
            yield Difference(order_id, named, ABSENT, "a row")
        else:
            for column, value in expected[key].items():
                if _comparable(row.get(column)) != _comparable(value):
                    yield Difference(order_id, f"{named}: {column}", as_words(value), as_words(row.get(column)))


def content_differences(
    order_id: str, what: str, expected: Sequence[Row], found: Sequence[Row], names: Sequence[str]
) -> Iterator[Difference]:
    """Yield what differs between rows without a common key. Each expected row is compared with the row that is most like it.

    `names`: the columns that a row is called by.
    """
    left = list(found)
    pairs: dict[int, Row] = {}
    for most in range(max(map(len, expected), default=0), 0, -1):
        for index, row in enumerate(expected):
            likeness = [sum(_comparable(each.get(name)) == _comparable(value) for name, value in row.items()) for each in left]
            if index not in pairs and most in likeness and 2 * most >= len(row):
                pairs[index] = left.pop(likeness.index(most))
    for index, row in enumerate(expected):
        named = f"{what} {as_words([row.get(name) for name in names])}"
        yield from row_differences(order_id, named, {"": row}, {"": pairs.get(index)})
    for row in left:
        yield Difference(order_id, f"{what} {as_words([row[name] for name in names])}", ABSENT, "a row")


def as_words(value: Any) -> str:
    """Format a value, a key or a row."""
    match value:
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case dict():
            return ", ".join(f"{name} {as_words(each)}" for name, each in value.items() if each is not None)
        case list() | tuple():
            return " ".join(as_words(each) for each in value if each is not None) or ABSENT
        case None:
            return ABSENT
    return str(value)


def _comparable(value: Any) -> Any:
    """Make values comparable: quantities become text, and so must match to the last digit."""
    return value if value is None or isinstance(value, datetime | int) else str(value)
