"""Fails events of which a part cannot be read, once what could be read of them is written."""

import re
from collections.abc import Iterable, Sequence

from schemas.events import Effect, Event, Unreadable
from schemas.failures import DecodeError, Reason
from workers.ledger.unit_of_work import UnitOfWork

MAX_PARTS = 20
"""How many parts the text of a failure names. It says how many more there are."""
_CODE = re.compile(r"[\w.:/#+-]{1,60}", re.ASCII)
"""A line's key that may be shown. Any other, such as a product's name, may hold personal data."""


def fail_unreadable(work: UnitOfWork, events: Iterable[Event], effect: Effect) -> None:
    """Fail each event in which a line's `effect` cannot be told. Its other lines are applied all the same.

    A retry applies them again, which changes nothing, and fails until a release can read the rest.
    """
    for event in events:
        if event.unreadable and (parts := [part for part in event.unreadable if effect in part.effects]):
            work.fail(event, DecodeError(Reason.WRONG_TYPE, _described(parts)))


def _described(parts: Sequence[Unreadable]) -> str:
    said = [f"{part.path}: {part.problem}{_of_line(part.line)}" for part in parts[:MAX_PARTS]]
    more = len(parts) - MAX_PARTS
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")


def _of_line(key: str | None) -> str:
    return f" (line {key})" if key and _CODE.fullmatch(key) else ""
