"""Arguments as Flower knows them are texts, cut and not escaped: which of them can be turned back into values. Pure.

A text is believed only if its value has exactly this text: one that was cut, or whose backslashes were lost, has not.
"""

import ast
from typing import Any

from celery.utils.saferepr import saferepr


class Inexact(Exception):  # noqa: N818 - reads as what it says
    """The text does not say what the arguments were. `str()` is one sentence for an operator."""


def arguments(args: str | None, kwargs: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a task, from their texts. Raises `Inexact`; never evaluates anything but literals."""
    positional, named = _value(args or "()", "arguments"), _value(kwargs or "{}", "keyword arguments")
    if (
        not isinstance(positional, tuple | list)
        or not isinstance(named, dict)
        or not all(isinstance(key, str) for key in named)
    ):
        raise Inexact("what Flower knows of its arguments is no list and no mapping")
    return tuple(positional), named


def _value(text: str, what: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise Inexact(f"what Flower knows of its {what} was cut, or holds values without a literal form") from error
    if saferepr(value) != text:
        raise Inexact(f"what Flower knows of its {what} was cut or changed, and may not be what they were")
    return value
