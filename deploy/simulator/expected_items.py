"""The refunds and replacements that an order's item lists ask for, by the lines as they truly are. Pure.

Every list shows the state of the lines in it and says nothing of the others. Only lists of the effect's own events count, oldest
first. A line that a list shows with the effect has a row, from the first such list, whatever comes later. If newer lists show it
without the effect, the row says since which event. Of several substitutes of a line the one listed last is current.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from deploy.simulator.applied import AppliedEvent, Row
from deploy.simulator.provider_events import Line

_WITHDRAWN = ("withdrawn_by", "withdrawn_at")


class _Shown(NamedTuple):
    """A line as the list of an event shows it."""

    by: AppliedEvent
    line: Line


def expected_refunds(events: Sequence[AppliedEvent]) -> list[Row]:
    """Return the rows of an order's refunds."""
    rows = []
    for shown in _lines(events, "order_item_refund"):
        if with_effect := [each for each in shown if each.line.refunded]:
            rows.append(_row(with_effect[0]) | _withdrawal(shown, lambda line: line.refunded))
    return rows


def expected_replacements(events: Sequence[AppliedEvent]) -> list[Row]:
    """Return the rows of an order's replacements: one for each line and substitute."""
    return [row for shown in _lines(events, "order_item_replacement") for row in _substitutes(shown)]


def _lines(events: Sequence[AppliedEvent], kind: str) -> Iterator[list[_Shown]]:
    """Yield what the lists show of each line, oldest first."""
    found: dict[int, list[_Shown]] = defaultdict(list)
    for each in events:
        if each.event.kind == kind:
            for line in each.event.lines:
                found[line.number].append(_Shown(each, line))
    yield from found.values()


def _substitutes(shown: Sequence[_Shown]) -> Iterator[Row]:
    first: dict[str, _Shown] = {}
    current = None
    for each in shown:
        if each.line.substitute:
            current = each.line.substitute.product
            first.setdefault(current, each)
    withdrawal = _withdrawal(shown, lambda line: line.substitute is not None)
    for product, each in first.items():
        new = each.line.substitute
        stated: Row = {"substitute": product, "substitute_name": new and new.name, "substitute_quantity": new and new.quantity}
        superseded: Row = {"superseded_by": None if product == current else current}
        yield _row(each) | stated | superseded | (withdrawal if product == current else dict.fromkeys(_WITHDRAWN))


def _row(shown: _Shown) -> Row:
    line = shown.line
    stated: Row = {"product": line.product, "product_name": line.name, "quantity": line.quantity, "unit": line.unit}
    named = {} if line.line is None else {"line": line.line}
    return stated | named | {"provider": shown.by.event.provider} | shown.by.source


def _withdrawal(shown: Sequence[_Shown], has_effect: Callable[[Line], bool]) -> Row:
    """Return since which event the newest lists show a line without the effect."""
    since = None
    for each in reversed(shown):
        if has_effect(each.line):
            break
        since = each.by.source
    return dict(zip(_WITHDRAWN, (since["event_id"], since["occurred_at"]) if since else (None, None), strict=True))
