"""The ledger ends the same whatever the order, batching and repetition of events."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.events import Event, Kind, Line, Provider, Window
from schemas.identity import identity_of
from tests.contract.handler_events import at, event, line, replaced
from tests.support.ledger_fixture import HANDLERS, LedgerFixture, without

STATE = ("orders", "order_events", "replacements", "refunds", "late_deliveries")
_RUNS = settings(
    max_examples=25,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # to shrink seven events, a transaction at a time, would take minutes
    suppress_health_check=list(HealthCheck),
)
_orders = (f"order-{number}" for number in itertools.count())


@dataclass(frozen=True)
class News:
    """What an event says, before it has arrived. `minutes` are few, so that times tie often; None: it has no time."""

    kind: Kind
    minutes: int | None
    expected: int | None
    items: tuple[Line, ...]
    window: bool
    number: str | None


_LINES = [
    line("1", refunded=True),
    line("2", refunded=True),
    replaced("1", "oat"),
    replaced("1", "soy"),
    replaced("2", "oat"),
    line("3"),
]
_KINDS = [
    Kind.ORDER_CREATED, Kind.PICKING, Kind.DELIVERING, Kind.DELIVERED, Kind.CANCELED, Kind.RESCHEDULED, Kind.LATE_DELIVERY,
    Kind.ORDER_ITEM_REPLACEMENT, Kind.ORDER_ITEM_REFUND, Kind.CUSTOMER_MIA, Kind.ORDER_UPDATED, Kind.UNRECOGNISED,
]  # fmt: skip
_minutes = st.integers(0, 3)
_news = st.builds(
    News,
    kind=st.sampled_from(_KINDS),
    minutes=_minutes,
    expected=st.none() | st.integers(100, 104),
    items=st.lists(st.sampled_from(_LINES), max_size=3, unique_by=lambda each: each.line).map(tuple),
    window=st.booleans(),
    number=st.sampled_from([None, "A", "B"]),
)
_timeless = _news.map(lambda each: replace(each, minutes=None, window=False))
_story = st.lists(_news, min_size=1, max_size=7, unique_by=repr)
_story_with_timeless = st.lists(_news | _timeless, min_size=1, max_size=7, unique_by=repr)


def told(news: News, order: str, arrival: int, *also: str) -> Event:
    """The news as an event of this order."""
    expected = None if news.expected is None else at(news.expected)
    new = Window(None, expected) if expected and news.window else None
    return event(
        news.kind, news.minutes, order, arrival=arrival, order_ids=(order, *also), promised_at=expected, number=news.number,
        fulfillment_type=news.number, lines=news.items, window=new and Window(at(90), at(95)), new_window=new,
        status=f"as {news.number}" if news.kind is Kind.ORDER_UPDATED else _status(news.kind),
        identity=identity_of(repr(news)),
    )  # fmt: skip


def _status(kind: Kind) -> str | None:
    return event(kind, 0).status


def fresh_order() -> str:
    """A new order id."""
    return next(_orders)


def state(ledger_fixture: LedgerFixture, order: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of an order that must not depend on arrival, under a name that does not depend on the order."""
    rows = {table: without(ledger_fixture.rows(table, order), "order_id") for table in STATE}
    still_open = [row for row in ledger_fixture.rows("customer_mia_alerts", order) if row["closed_at"] is None]
    rows["open alerts"] = [{"last_reported_at": row["last_reported_at"]} for row in still_open]
    return rows


def in_batches(data: st.DataObject, events: Sequence[Event]) -> Iterator[tuple[str, list[Event]]]:
    """Each handler's events in any order, in batches of any size, the handlers' batches in between each other."""
    work = [(handler.name, each) for handler in HANDLERS.values() for each in events if handler.wants(each.kind)]
    shuffled = data.draw(st.permutations(work))
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        taken, shuffled = shuffled[:size], shuffled[size:]
        for name in HANDLERS:
            if batch := [each for handler, each in taken if handler == name]:
                yield name, batch


def test_the_order_in_which_events_are_handled_changes_nothing(ledger_fixture: LedgerFixture) -> None:
    @_RUNS
    @given(story=_story_with_timeless, data=st.data())
    def check(story: list[News], data: st.DataObject) -> None:
        one, other, also = fresh_order(), fresh_order(), fresh_order()
        ledger_fixture.apply_each(*(told(news, one, number) for number, news in enumerate(story)))
        for handler, batch in in_batches(data, [told(news, other, number, also) for number, news in enumerate(story)]):
            ledger_fixture.apply(handler, *batch)
        assert state(ledger_fixture, one) == state(ledger_fixture, other) == state(ledger_fixture, also)

    check()


def test_the_order_of_arrival_changes_nothing_but_the_times_of_receipt(ledger_fixture: LedgerFixture) -> None:
    @_RUNS
    @given(story=_story, data=st.data())
    def check(story: list[News], data: st.DataObject) -> None:
        one, other = fresh_order(), fresh_order()
        ledger_fixture.apply_each(*(told(news, one, number) for number, news in enumerate(story)))
        ledger_fixture.apply_each(*(told(news, other, number) for number, news in enumerate(data.draw(st.permutations(story)))))
        ours = ("event_id", "received_at", "withdrawn_by")
        states = [
            {table: without(rows, *ours) for table, rows in state(ledger_fixture, order).items()} for order in (one, other)
        ]
        assert states[0] == states[1]

    check()


def test_events_applied_twice_or_thrice_change_no_row(ledger_fixture: LedgerFixture) -> None:
    @_RUNS
    @given(story=_story_with_timeless, data=st.data())
    def check(story: list[News], data: st.DataObject) -> None:
        order = fresh_order()
        events = [told(news, order, number) for number, news in enumerate(story)]
        for handler, batch in in_batches(data, events):
            ledger_fixture.apply(handler, *batch)
        tables = (*STATE, "customer_mia_alerts")
        before = [ledger_fixture.rows(table, order) for table in tables]
        sent = [row for row in ledger_fixture.rows("outbox") if order in row["title"] and row["topic"] == "customer_mia"]
        for _ in range(2):
            for handler, batch in in_batches(data, events):
                ledger_fixture.apply(handler, *batch)
            assert [ledger_fixture.rows(table, order) for table in tables] == before
        assert [
            row for row in ledger_fixture.rows("outbox") if order in row["title"] and row["topic"] == "customer_mia"
        ] == sent

    check()


def test_a_late_old_snapshot_of_afosto_never_overwrites_newer_state(ledger_fixture: LedgerFixture) -> None:
    for arrivals in itertools.permutations(range(4)):
        order = fresh_order()
        story = [
            event(Kind.ORDER_OPENED, 0, order, provider=Provider.AFOSTO, status="opened", number="1001"),
            event(Kind.ORDER_UPDATED, 1, order, provider=Provider.AFOSTO, status="processing", number="1001"),
            event(Kind.IN_TRANSIT, 2, order, provider=Provider.AFOSTO, status="in_transit"),
            event(Kind.ORDER_CLOSED, 3, order, provider=Provider.AFOSTO, status="closed", number="1001-1"),
        ]
        ledger_fixture.apply_each(*(story[number] for number in arrivals))
        row = ledger_fixture.row("orders", order)
        assert (row["status"], row["status_at"], row["number"]) == ("closed", at(3), "1001-1")
        assert (row["first_event_at"], row["last_event_at"]) == (at(0), at(3))


def test_the_same_events_from_two_workers_at_once_end_as_from_one(ledger_fixture: LedgerFixture) -> None:
    orders = [fresh_order() for _ in range(12)]
    alone = [fresh_order() for _ in orders]
    kinds = [
        Kind.ORDER_CREATED,
        Kind.LATE_DELIVERY,
        Kind.ORDER_ITEM_REPLACEMENT,
        Kind.ORDER_ITEM_REFUND,
        Kind.CUSTOMER_MIA,
        Kind.DELIVERED,
    ]
    story = [
        News(kind, minutes, 101, tuple(_LINES[2 * minutes : 2 * minutes + 1]), False, "A")
        for minutes in range(3)
        for kind in kinds
    ]
    events = [told(news, order, number) for number, news in enumerate(story) for order in orders]
    ledger_fixture.apply_in_batches(*(told(news, order, number) for order in alone for number, news in enumerate(story)))

    def work(start: threading.Barrier, events: Sequence[Event], size: int) -> None:
        start.wait(30)
        for handler in HANDLERS.values():
            wanted = [each for each in events if handler.wants(each.kind)]
            for first in range(0, len(wanted), size):
                ledger_fixture.apply(handler.name, *wanted[first : first + size])

    barrier = threading.Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        shares = [(events, 7), (events[::-1], 11), (events[::2] + events[1::2], len(events))]
        for done in [pool.submit(work, barrier, share, size) for share, size in shares]:
            done.result(60)
    assert [state(ledger_fixture, order) for order in orders] == [state(ledger_fixture, order) for order in alone]


def test_two_workers_with_the_same_orders_in_opposite_order_never_deadlock(ledger_fixture: LedgerFixture) -> None:
    start = threading.Barrier(2)

    def work(handler: str, rounds: Sequence[Sequence[Event]]) -> None:
        for batch in rounds:
            start.wait(30)
            ledger_fixture.apply(handler, *batch)

    with ThreadPoolExecutor(2) as pool:
        for handler, kind in (
            ("timeline", Kind.PICKING),
            ("refunds", Kind.ORDER_ITEM_REFUND),
            ("late_deliveries", Kind.LATE_DELIVERY),
        ):
            rounds = [[event(kind, 1, fresh_order(), lines=(_LINES[0],)) for _ in range(200)] for _ in range(6)]
            one, other = pool.submit(work, handler, rounds), pool.submit(work, handler, [batch[::-1] for batch in rounds])
            one.result(60)
            other.result(60)
