"""Item lists whose lines need no matching give the same histories as by the rules of matching."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Effect, Line
from workers.ledger.item_effects import ItemList, LineHistory, of_matched_lines, of_plain_lines
from workers.ledger.item_lines import State

_AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
_CODES = st.lists(
    st.tuples(st.sampled_from(["sku", "upc"]), st.sampled_from(["5", "05", "6", "7"])),
    max_size=2,
    unique_by=lambda each: each[0],
)


@st.composite
def _lines(draw: st.DrawFn) -> Line:
    number = draw(st.sampled_from([None, None, "1", "01", "2", "5"]))
    codes, name = tuple(draw(_CODES)), draw(st.sampled_from([None, "Milk", "milk", "Eggs"]))
    product = codes[0][1] if codes else None
    return Line(number or product or name or "[0]", name, product, number=number, codes=codes)


@st.composite
def _item_lists(draw: st.DrawFn) -> list[ItemList]:
    pool = draw(st.lists(_lines(), min_size=1, max_size=4))
    lists = []
    for place in range(draw(st.integers(1, 3))):
        shown = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=4))
        lines = tuple(
            Line(
                each.line,
                each.name,
                each.product,
                refunded=draw(st.booleans()),
                number=each.number,
                codes=each.codes,
                unknown=draw(st.sampled_from([(), (), (Effect.REFUND,)])),
            )
            for each in shown
        )
        lists.append(ItemList(f"i{place}", f"{place}-0", _AT, _AT, f"n{place}", lines))
    return lists


def _state(line: Line) -> State | None:
    return None if line.unknown else (line.refunded, "")


def _said(histories: list[LineHistory]) -> list[tuple[object, ...]]:
    with_effect = [each for each in histories if each.has_effect]
    keys = [each.key for each in with_effect]
    withdrawals = [taken.identity if (taken := each.withdrawal()) else None for each in with_effect]
    first = [each.first for each in with_effect]
    return sorted(
        ((*pair[:2], pair[2].by.identity, repr(pair[2].line)) for pair in zip(keys, withdrawals, first, strict=True)), key=repr
    )


@given(_item_lists())
def test_lines_that_need_no_matching_have_the_histories_of_matched_lines(lists: list[ItemList]) -> None:
    plain = of_plain_lines(lists, _state)
    if plain is not None:
        assert _said(plain) == _said(of_matched_lines(lists, _state))
        assert len({each.key for each in plain}) == len(plain)


def test_a_list_of_numbered_lines_with_codes_needs_no_matching() -> None:
    lines = tuple(Line(f"{n}", number=f"{n}", codes=(("upc", f"1234{n}"),), refunded=n == 1) for n in (1, 2, 3))
    lists = [ItemList(f"i{n}", f"{n}-0", _AT, _AT, f"n{n}", lines) for n in (1, 2)]
    found = of_plain_lines(lists, _state)
    assert found is not None
    assert [(each.key, len(each.shown)) for each in found] == [("1", 2)]


def test_lines_that_one_name_ties_are_matched() -> None:
    lists = [
        ItemList("i1", "1-0", _AT, _AT, "n1", (Line("5", "Milk", "5", codes=(("sku", "5"),), refunded=True),)),
        ItemList("i2", "2-0", _AT, _AT, "n2", (Line("6", "Milk", "6", codes=(("upc", "6"),), refunded=True),)),
    ]
    assert of_plain_lines(lists, _state) is None
    assert len(of_matched_lines(lists, _state)) == 1
