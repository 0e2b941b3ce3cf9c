"""Lines of an order: as one item list shows them, and as they are known from all lists so far. Pure."""

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from schemas.events import Line
from schemas.parsing.texts import MAX_KEY_CHARS

State = tuple[bool, str]
"""Whether a line shows the effect (refunded, replaced), and what distinguishes it from other lines that show it."""

ANY_KIND = "product"
"""The kind of a code whose kind is not known."""
_PLACE = re.compile(r"\[\d+\]")
_REPEAT = re.compile(r"#\d+$")


class ListedLine:
    """A line as one list shows it.

    `key`: what its rows are named after: its number, else its strongest code, else its name, else its place. `state`: None if it
    could not be read. An event without numbers and codes has them in `line` and `product`; `keys` are those of its whole list.
    """

    __slots__ = ("amount", "codes", "is_taken", "key", "line", "name", "number", "state")

    def __init__(self, line: Line, state: State | None, keys: Collection[str] | None = None) -> None:
        self.line, self.state, self.is_taken = line, state, False
        self.number, self.codes, self.name = line.number, line.codes, line.name
        self.amount = (line.quantity, line.unit)
        self.key = line.line
        if self.number or self.codes:
            self.key = (self.number or self.codes[0][1])[:MAX_KEY_CHARS]
        else:
            self._derive(line, keys)
        self.number = plain_code(self.number) if self.number else None
        self.codes = tuple([(kind, plain_code(value)) for kind, value in self.codes])
        self.name = plain_name(self.name) if self.name else None

    def _derive(self, line: Line, keys: Collection[str] | None) -> None:
        self.key = base = _without_repeat(line, keys)
        if line.product is not None:
            is_product = line.product in {base, line.line}
            self.number = None if is_product else base
            self.codes = ((ANY_KIND, base if is_product else line.product),)
        elif not (_PLACE.fullmatch(base) or _is_of_name(base, line.name)):
            self.number = base

    def sort_key(self) -> tuple[Any, ...]:
        """A key that sorts the lines of a list by what they say, and by their place only where they say nothing."""
        substitute = "" if self.line.substitute is None else repr(self.line.substitute)
        said = (self.number or "", self.codes, self.name or "", str(self.amount[0]), self.amount[1] or "")
        return (*said, self.state or (False, ""), self.state is None, substitute, self.key)


def plain_code(code: str) -> str:
    """A code as it is compared. `007` and `7` are one: a code that is written as a number loses its leading zeros."""
    if code[:1] != "0" and code.isalnum():  # nearly all
        return code
    code = code.strip()
    return (code.lstrip("0") or "0") if code.isdecimal() else code


@lru_cache(4096)
def plain_name(name: str) -> str:
    """A name as it is compared."""
    return unicodedata.normalize("NFC", " ".join(name.split())).casefold()


def _without_repeat(line: Line, keys: Collection[str] | None) -> str:
    """The line's key without the `#2` that a second line of one key has. `keys` is None if the first may be unknown."""
    if "#" not in line.line:
        return line.line
    base = _REPEAT.sub("", line.line)
    return base if keys is None or base in keys else line.line


def _is_of_name(key: str, name: str | None) -> bool:
    """Whether the key is the name, which may have been shortened."""
    return name is not None and (key == name or (len(key) > MAX_KEY_CHARS // 2 and name.startswith(key)))


class TrackedLine:
    """A line that lists have shown. Of each list it keeps what the lists before did not say.

    `row_key`: the key of the row of a former release that it begins with. `values`: the codes of all lists. `strongest`: those that
    were the strongest of a list. `has_effect`: whether a list has shown the effect.
    """

    __slots__ = (
        "amount", "has_effect", "is_taken", "key", "kinds", "name", "number", "row_key", "state", "strongest", "values",
    )  # fmt: skip

    def __init__(self, line: ListedLine, row_key: str | None = None) -> None:
        self.key, self.row_key, self.is_taken = line.key, row_key, True
        self.number, self.name, self.amount = line.number, line.name, line.amount
        self.kinds = frozenset([kind for kind, _ in line.codes])
        self.values = {value for _, value in line.codes}
        self.strongest = {value for _, value in line.codes[:1]}
        self.state, self.has_effect = line.state, line.state is not None and line.state[0]

    def update(self, line: ListedLine) -> None:
        """Add what a newer list shows."""
        if line.codes:
            self.strongest.add(line.codes[0][1])
            self.values.update([value for _, value in line.codes])
            self.kinds |= {kind for kind, _ in line.codes}
        self.number, self.name = line.number or self.number, line.name or self.name
        (quantity, unit), (known, known_unit) = line.amount, self.amount
        self.amount = (known if quantity is None else quantity, unit or known_unit)
        if line.state is not None:
            self.state, self.has_effect = line.state, self.has_effect or line.state[0]
