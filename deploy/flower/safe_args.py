"""Parses a task's arguments from the texts that Flower keeps, which may be cut and are not escaped. Pure.

A text is trusted only if its value has exactly this text as its repr: a text that lost backslashes does not. A text with
`...` is never trusted: `...` marks a cut, and is itself a literal with the same repr.
"""

import ast
from typing import Any

from celery.utils.saferepr import saferepr


class UnsafeArgumentsError(Exception):
    """The text does not determine the arguments. `str()` is one sentence for an operator."""


def arguments(args: str | None, kwargs: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Parse a task's arguments. Raises `UnsafeArgumentsError`. Evaluates literals only.

    Flower has None for a task whose start it did not see: that does not mean no arguments.
    """
    positional, named = _value(args, "arguments"), _value(kwargs, "keyword arguments")
    if (
        not isinstance(positional, tuple | list)
        or not isinstance(named, dict)
        or not all(isinstance(key, str) for key in named)
    ):
        raise UnsafeArgumentsError("the arguments that Flower knows are not a list and a mapping")
    return tuple(positional), named


def _value(text: str | None, what: str) -> Any:
    if text is None:
        raise UnsafeArgumentsError(f"Flower does not know its {what}: it did not see the task start")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise UnsafeArgumentsError(f"the {what} that Flower knows were cut, or hold values without a literal form") from error
    if "..." in text or not _is_plain(value) or saferepr(value) != text:
        raise UnsafeArgumentsError(f"the {what} that Flower knows were cut or changed, and may differ from the real ones")
    return value


def _is_plain(value: Any) -> bool:
    """Whether the value consists of JSON types and tuples. Bytes that are not text appear as hexadecimal, like a string."""
    if isinstance(value, dict):
        return all(map(_is_plain, (*value.keys(), *value.values())))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)
