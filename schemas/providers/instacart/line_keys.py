"""Keys for lines that share one: the second line of a product is `#2`, and so on, whatever the order of the list."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from schemas.events import Line
from schemas.parsing.texts import free_keys

_NOTHING = Decimal(-1).scaleb(99)


def numbered(lines: Sequence[Line]) -> list[Line]:
    """The lines, in their order, each under a key that no other has."""
    groups: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        groups.setdefault(line.line, []).append(place)
    taken, found = set(groups), list(lines)
    for key in sorted(groups):
        ranked = sorted(groups[key], key=lambda place: _rank(lines[place]))
        for place, free in zip(ranked[1:], free_keys(key, taken), strict=False):
            found[place] = replace(lines[place], line=free)
    return found


def _rank(line: Line) -> tuple[Any, ...]:
    """Lines with an effect come first; else what the line says decides, so that the order of the list does not count."""
    substitute = line.substitute
    return (
        not line.refunded,
        substitute is None,
        not line.unknown,
        _NOTHING if line.quantity is None else line.quantity,
        line.name or "",
        line.unit or "",
        line.codes,
        (substitute.product, substitute.name or "", substitute.codes) if substitute else (),
        str(line.quantity),
        line.unknown,
    )
