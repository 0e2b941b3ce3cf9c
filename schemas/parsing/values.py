"""Parses scalar values that mean the same in several forms: a number and a text with the same digits, `true` and `"yes"`.

A function returns None for a value that states nothing, and a sentence, which quotes no value, for one that cannot be read:
a `Problem`.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_QUANTITY_DIGITS = 60
"""The most characters that a quantity may take, and the largest and smallest power of ten it may have."""
MAX_ID_DIGITS = 255
_PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,5})?", re.ASCII)
_TOO_LARGE = f"expected a quantity of at most {MAX_QUANTITY_DIGITS} digits, got another number"
_NOT_FINITE = Decimal("NaN")
_MAX_KNOWN = 4096
_SMALL = tuple(map(Decimal, range(1000)))
_FLAGS = {
    "true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False, "": None,
}  # fmt: skip
_JSON_TYPES: dict[type, str] = {
    dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null", int: "number", float: "number",
    Decimal: "number",
}  # fmt: skip


class Problem(str):
    """What was expected of a value and what was found, without the value."""

    __slots__ = ()


def json_type(value: Any) -> str:
    """The JSON type of a decoded value."""
    return _JSON_TYPES.get(type(value), "other")


def _fits(number: Decimal) -> bool:
    return number.is_finite() and abs(number.adjusted()) <= MAX_QUANTITY_DIGITS and len(str(number)) <= MAX_QUANTITY_DIGITS


class _Decimals(dict[str, Decimal]):
    """Fractions by their literals: a decoder asks it for each, and most literals come again."""

    def __missing__(self, literal: str) -> Decimal:
        try:
            number = Decimal(literal)
        except InvalidOperation:
            return _NOT_FINITE
        if not _fits(number):
            return _NOT_FINITE
        if len(self) < _MAX_KNOWN:
            self[literal] = number
        return number


decimal_of = _Decimals().__getitem__
"""Reads the literal of a fraction exactly: the hook for decoders. A fraction that no quantity could be is not finite."""


def id_of(value: Any) -> str | None:
    """An id or code as text. A whole number (`7`, `7.0`) and a text with its digits are the same id. None: it names nothing."""
    if type(value) is str:
        return value or None
    if type(value) is int:
        return str(value)
    if type(value) is Decimal and value.is_finite() and value.adjusted() < MAX_ID_DIGITS and value == value.to_integral_value():
        return str(int(value))
    return None


def quantity_of(value: Any) -> "Decimal | Problem | None":
    """A quantity, exact, from a number or a text that is a plain decimal number. An empty text states none."""
    if value is None:
        return None
    if type(value) is int:
        if 0 <= value < len(_SMALL):
            return _SMALL[value]
        number = Decimal(value)
    elif type(value) is Decimal:
        number = value
    elif type(value) is str:
        text = value.strip()
        if not text:
            return None
        if not _PLAIN_NUMBER.fullmatch(text):
            return Problem("expected a decimal number, got other text")
        number = Decimal(text)
    else:
        return Problem(f"expected a decimal number, got {json_type(value)}")
    return number if _fits(number) else Problem(_TOO_LARGE)


def flag_of(value: Any) -> "bool | Problem | None":
    """A boolean, also as 1 or 0 and as a word in any case. An empty text states nothing."""
    if value is None or type(value) is bool:
        return value
    if type(value) in (int, Decimal) and value in (0, 1):
        return bool(value)
    word = value.strip().lower() if type(value) is str else None
    if word in _FLAGS:
        return _FLAGS[word]
    return Problem(f"expected boolean, got {'other text' if type(value) is str else json_type(value)}")


def object_of(value: Any) -> "dict[str, Any] | Problem | None":
    """An object, also as the only element of a list. An empty text, an empty list and `false` stand for none."""
    if type(value) is list and len(value) == 1:
        value = value[0]
    if value is None or type(value) is dict:
        return value
    return None if is_empty(value) else Problem(f"expected object, got {json_type(value)}")


def list_of(value: Any) -> "list[Any] | Problem":
    """A list. One object is a list of one; an object keyed by numbers, as PHP writes a list, is the list in their order."""
    if type(value) is list:
        return value
    if type(value) is dict:
        if all(each.isascii() and each.isdecimal() and len(each) <= MAX_ID_DIGITS for each in value):
            return [value[each] for each in sorted(value, key=int)]
        return [value]
    return [] if is_empty(value) else Problem(f"expected array, got {json_type(value)}")


def is_empty(value: Any) -> bool:
    """Whether a value stands for nothing where an object or a list is expected."""
    return value is None or value is False or value in ("", [])
