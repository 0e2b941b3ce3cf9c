"""Keys of 255 characters of four bytes are stored on SQLite and on PostgreSQL, which limits the size of an index row."""

from decimal import Decimal

from schemas.events import Kind
from tests.contract.handler_events import event, line, replaced
from tests.support.ledger_fixture import LedgerFixture
from workers.ledger.key_sizes import MAX_KEY_BYTES


def name(step: int) -> str:
    """255 characters that cannot be compressed: repeated ones would fit."""
    return "".join(chr(0x1F300 + (position * step) % 600) for position in range(255))


ORDER, LINE, SUBSTITUTE, OTHER = (name(step) for step in (7, 11, 13, 17))


def test_an_order_a_line_and_a_substitute_with_the_longest_names_are_stored_and_told_apart(
    ledger_fixture: LedgerFixture,
) -> None:
    for minute, substitute in enumerate((SUBSTITUTE, OTHER), 1):
        for _ in range(2):
            ledger_fixture.apply_each(
                event(Kind.ORDER_ITEM_REPLACEMENT, minute, ORDER, lines=(replaced(LINE, substitute),)),
                event(Kind.ORDER_ITEM_REFUND, minute, ORDER, lines=(line(LINE, refunded=True, quantity=Decimal(1)),)),
                event(Kind.CUSTOMER_MIA, minute, ORDER),
                event(Kind.LATE_DELIVERY, minute, ORDER),
            )
    first, second = sorted(ledger_fixture.rows("replacements"), key=lambda row: row["superseded_by"] is None)
    assert (first["order_id"], first["line"]) == (ORDER, LINE)
    assert first["substitute"].startswith(SUBSTITUTE[:100])
    assert second["substitute"].startswith(OTHER[:100])
    assert (first["superseded_by"], second["superseded_by"]) == (second["substitute"], None)
    size = sum(len(first[column].encode()) for column in ("provider", "order_id", "line", "substitute"))
    assert MAX_KEY_BYTES - 4 < size <= MAX_KEY_BYTES
    (refund,) = ledger_fixture.rows("refunds")
    assert (refund["order_id"], refund["line"]) == (ORDER, LINE)


def test_a_key_that_fits_is_stored_as_it_is(ledger_fixture: LedgerFixture) -> None:
    ledger_fixture.apply_each(event(Kind.ORDER_ITEM_REPLACEMENT, 1, "short", lines=(replaced(LINE, SUBSTITUTE),)))
    (row,) = ledger_fixture.rows("replacements")
    assert (row["line"], row["substitute"]) == (LINE, SUBSTITUTE)
