"""Refunds: one row for each line that a list has shown as refunded, from the first list that does.

Every event carries the whole item list, in any order of its lines. The rows are worked out from all lists of refund events of
the order (`workers.ledger.item_lists`), so their order of arrival does not count. A line that the newest list that shows it
shows as not refunded is withdrawn: the row says by which event and when, and stays. What the list of an event of another kind
says of refunds does not count.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from schemas.events import Effect, Event, Kind, Line
from workers.handler import UnitOfWork, handler
from workers.ledger.item_effects import ItemList, first_values, histories, list_of_row, row_keys, withdrawal_values
from workers.ledger.item_lines import State
from workers.ledger.item_lists import ItemEffect, lists_by_order
from workers.ledger.tables import refunds as table
from workers.ledger.unreadable_parts import fail_unreadable
from workers.ledger.upsert import Row


@handler("refunds", Kind.ORDER_ITEM_REFUND)
def refunds(work: UnitOfWork, events: Sequence[Event]) -> None:
    """Write the refunds of these events' orders."""
    if lists := lists_by_order(events):
        _REFUNDS.apply(work.connection, lists)
    fail_unreadable(work, events, Effect.REFUND)


def rows_of(lists: Iterable[ItemList]) -> list[Row]:
    """The rows of an order with these lists. Pure."""
    found = histories(lists, _state)
    return [
        first_values(history.first, key) | withdrawal_values(history.withdrawal())
        for history, key in zip(found, row_keys(found), strict=True)
    ]


def _state(line: Line) -> State | None:
    return None if Effect.REFUND in line.unknown else (line.refunded, "")


def _lists_of_row(row: Row, lists: Collection[ItemList]) -> Iterator[ItemList]:
    if row["event_id"] not in {each.event_id for each in lists if not each.is_row}:
        line = Line(row["line"], row["product_name"], row["product"], row["quantity"], row["unit"], refunded=True)
        yield list_of_row(row, row["first_news"], line)


_REFUNDS = ItemEffect(Effect.REFUND, table, rows_of, _lists_of_row)
