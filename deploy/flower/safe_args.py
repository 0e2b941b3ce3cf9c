"""Arguments as Flower knows them are texts, cut and not escaped: which of them can be turned back into values. Pure.

A text is believed only if its value has exactly this text: one whose backslashes were lost has not. Nor is any text with `...` in it,
the sign of a cut: it is a literal too, and has itself as its text.
"""

import ast
from typing import Any

from celery.utils.saferepr import saferepr


class UnsafeArgumentsError(Exception):
    """The text does not say what the arguments were. `str()` is one sentence for an operator."""


def arguments(args: str | None, kwargs: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a task, from their texts. Raises `UnsafeArgumentsError`; never evaluates anything but literals.

    None is what Flower has of a task that it saw fail but not begin: that is no empty list.
    """
    positional, named = _value(args, "arguments"), _value(kwargs, "keyword arguments")
    if (
        not isinstance(positional, tuple | list)
        or not isinstance(named, dict)
        or not all(isinstance(key, str) for key in named)
    ):
        raise UnsafeArgumentsError("what Flower knows of its arguments is no list and no mapping")
    return tuple(positional), named


def _value(text: str | None, what: str) -> Any:
    if text is None:
        raise UnsafeArgumentsError(f"Flower was not told its {what}: it did not see the task begin")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise UnsafeArgumentsError(
            f"what Flower knows of its {what} was cut, or holds values without a literal form"
        ) from error
    if "..." in text or not _is_plain(value) or saferepr(value) != text:
        raise UnsafeArgumentsError(f"what Flower knows of its {what} was cut or changed, and may not be what they were")
    return value


def _is_plain(value: Any) -> bool:
    """Whether it is made of what JSON has, and tuples. Bytes that are no text are shown in hexadecimal, as if they were it."""
    if isinstance(value, dict):
        return all(map(_is_plain, (*value.keys(), *value.values())))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)
