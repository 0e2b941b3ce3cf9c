"""An alert that must be given is given, whichever handler's queue comes first; and none is given that nothing asks for.

Seeded orders live random lives. Their events are handled in any order, by three queues that do not wait for each other, in batches
of any size. A model of the documented rules says after every batch which alerts are due.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from schemas.events import Event, Kind, Window
from tests.contract.handler_events import at, event
from tests.support.alert_worker import SECRET
from tests.support.ledger_fixture import LedgerFixture, open_ledger_fixture
from workers.ledger.event_order import ordering_key

MIA, LATE = Kind.CUSTOMER_MIA, Kind.LATE_DELIVERY
LANES: dict[str, frozenset[Kind] | None] = {
    "timeline": None,
    "late_deliveries": frozenset({LATE}),
    "customer_mia": frozenset({MIA}),
}
PROMISES, ENDS = frozenset({Kind.ORDER_CREATED, Kind.RESCHEDULED}), frozenset({Kind.DELIVERED, Kind.CANCELED})
KINDS = (*PROMISES, LATE, LATE, LATE, Kind.PICKING, MIA, MIA, Kind.DELIVERED, Kind.CANCELED)
ALERT_FROM = 15
CHANNELS = ("log", "webhook")
WEBHOOK = {"ALERT_WEBHOOK_URL": "http://127.0.0.1:1/", "ALERT_WEBHOOK_SECRET": SECRET}


@dataclass
class Model:
    """One order by the documented rules. `done`: what each queue has handled. `late_keys`: the late alerts that were due."""

    done: dict[str, list[Event]] = field(default_factory=lambda: {lane: [] for lane in LANES})
    late_keys: set[str] = field(default_factory=set)

    def handle(self, lane: str, batch: list[Event]) -> None:
        """Note what a queue has handled, and which late alert is due after it."""
        self.done[lane] += batch
        newest = _newest(self.done["late_deliveries"])
        if newest is not None and not self._is_over(newest):
            minutes = self.minutes_late
            if minutes is None or minutes >= ALERT_FROM:
                self.late_keys.add(newest.identity)

    @property
    def minutes_late(self) -> int | None:
        """How late the newest late delivery says the order is, by the promises that the timeline has handled."""
        newest = _newest(self.done["late_deliveries"])
        assert newest is not None
        if newest.window and newest.new_window:
            promised_at = newest.window.ends_at
        else:
            made = [each for each in self.done["timeline"] if each.kind in PROMISES and each.ordered_at <= newest.ordered_at]
            promise = _newest(made)
            promised_at = promise.promised_at if promise else None
        if promised_at is None or newest.promised_at is None:
            return None
        return (newest.promised_at - promised_at) // timedelta(minutes=1)

    def _is_over(self, late: Event) -> bool:
        return any(each.kind in ENDS and each.ordered_at >= late.ordered_at for each in self.done["timeline"])

    @property
    def reports_after_the_end(self) -> list[Event]:
        """The reports of a missing customer after the last end, when all is handled."""
        ends = [each.ordered_at for each in self.done["timeline"] if each.kind in ENDS]
        reports = sorted((each for each in self.done["customer_mia"]), key=ordering_key)
        return [each for each in reports if not ends or each.ordered_at > max(ends)]


def _newest(events: list[Event]) -> Event | None:
    return max(events, key=ordering_key, default=None)


def life_of(chance: random.Random, order: str, kinds: Sequence[Kind] = KINDS) -> list[Event]:
    """The events of an order in the order of arrival; some have the same time, some none."""
    events = []
    for number in range(chance.randrange(2, 9)):
        kind, minute = chance.choice(kinds), chance.randrange(30)
        fields: dict[str, object] = {}
        if kind in PROMISES or kind is LATE:
            fields["promised_at"] = at(chance.randrange(60, 120))
        if kind is LATE and chance.random() < 0.2:
            promised, expected = at(chance.randrange(60, 120)), fields["promised_at"]
            assert isinstance(expected, datetime)
            fields |= {"window": Window(None, promised), "new_window": Window(None, expected)}
        made = event(kind, None if chance.random() < 0.05 else minute, order, arrival=number, number=str(number), **fields)
        events.append(made)
    return events


def out_of_step(chance: random.Random, events: list[Event]) -> Iterator[tuple[str, list[Event]]]:
    """The batches of each queue, which do not wait for each other. Some batches come again, as after a crash."""
    waiting = {lane: [each for each in events if kinds is None or each.kind in kinds] for lane, kinds in LANES.items()}
    for queue in waiting.values():
        if chance.random() < 0.7:
            chance.shuffle(queue)
    while left := [lane for lane in LANES if waiting[lane]]:
        lane = chance.choice(left)
        size = chance.choice((1, 1, 2, len(events)))
        batch, waiting[lane] = waiting[lane][:size], waiting[lane][size:]
        yield lane, batch
        if chance.random() < 0.1:
            yield lane, batch


def check(ledger: LedgerFixture, models: dict[str, Model]) -> None:
    """Compare all orders with their models."""
    outbox = ledger.rows("outbox")
    keys = [(row["idempotency_key"], row["channel"]) for row in outbox]
    assert sorted({key for key, _ in keys}) == sorted({key for key, channel in keys if channel == "log"})
    assert {channel.partition(":")[0] for _, channel in keys} == set(CHANNELS)
    assert len(keys) == len(CHANNELS) * len({key for key, _ in keys})
    told: dict[tuple[str, str], set[str]] = {}
    for key, _ in keys:
        topic, _, order, identity = key.split(":")
        told.setdefault((topic, order), set()).add(identity)
    late = {row["order_id"]: row["minutes_late"] for row in ledger.rows("late_deliveries")}
    missing: dict[str, list[dict[str, object]]] = {}
    for row in ledger.rows("customer_mia_alerts"):
        missing.setdefault(row["order_id"], []).append(row)
    for order, model in models.items():
        assert told.get(("late_delivery", order), set()) == model.late_keys, order
        if model.done["late_deliveries"]:
            assert late[order] == model.minutes_late, order
        _check_missing(order, model, missing.get(order, []), told.get(("customer_mia", order), set()))


def _check_missing(order: str, model: Model, rows: list[dict[str, object]], told: set[str]) -> None:
    """An alert is open, and was sent, exactly if the customer was reported missing after the order's last end."""
    after = model.reports_after_the_end
    still_open = [row for row in rows if row["closed_at"] is None]
    assert [(row["first_reported_at"], row["last_reported_at"]) for row in still_open] == (
        [(after[0].ordered_at, after[-1].ordered_at)] if after else []
    ), order
    assert told <= {each.identity for each in model.done["customer_mia"]}
    if after:
        assert still_open[0]["identity"] in told & {each.identity for each in after}, order


def live(ledger: LedgerFixture, orders: int, start: int = 0, kinds: Sequence[Kind] = KINDS) -> dict[str, Model]:
    """Let these orders live, each on its own."""
    models = {}
    for seed in range(start, start + orders):
        chance, order = random.Random(seed), f"order-{seed}"  # noqa: S311 - the same lives in every run
        model = models[order] = Model()
        for lane, batch in out_of_step(chance, life_of(chance, order, kinds)):
            ledger.apply(lane, *batch)
            model.handle(lane, [each for each in batch if each not in model.done[lane]])
    return models


def test_a_thousand_orders_get_every_alert_once_and_no_other(migrated_sqlite: Path, tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with open_ledger_fixture(f"sqlite:///{database}", **WEBHOOK) as ledger:
        models = live(ledger, 1_000)
        assert sum(len(model.late_keys) for model in models.values()) > 500
        assert sum(bool(model.reports_after_the_end) for model in models.values()) > 300
        check(ledger, models)


def test_an_alert_that_is_split_twice_leaves_one_open(ledger_fixture: LedgerFixture) -> None:
    reports = {minute: event(MIA, minute) for minute in (0, 2, 4)}
    ends = {minute: event(Kind.DELIVERED, minute) for minute in (1, 3)}
    for minute in (4, 0, 2):
        ledger_fixture.apply("customer_mia", reports[minute])
    ledger_fixture.apply("timeline", ends[1], reports[2])
    ledger_fixture.apply("timeline", reports[0], ends[3], reports[4])
    rows = sorted(ledger_fixture.rows("customer_mia_alerts"), key=lambda row: row["first_reported_at"])
    assert [(row["first_reported_at"], row["closed_at"]) for row in rows] == [(at(0), at(1)), (at(2), at(3)), (at(4), None)]
    assert [row["identity"] for row in rows] == [reports[minute].identity for minute in (0, 2, 4)]
    assert len(ledger_fixture.alerts()) == 2, "the reports that opened an alert: the second and the third"


def test_customers_who_are_missing_again_and_again_get_their_alerts(migrated_sqlite: Path, tmp_path: Path) -> None:
    """Lives of reports and ends only: an alert is split more than once."""
    database = tmp_path / "ledger.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with open_ledger_fixture(f"sqlite:///{database}", **WEBHOOK) as ledger:
        check(ledger, live(ledger, 400, start=20_000, kinds=(MIA, MIA, Kind.DELIVERED)))


def test_so_do_orders_on_either_database(migrated_ledger_url: str) -> None:
    with open_ledger_fixture(migrated_ledger_url, **WEBHOOK) as ledger:
        check(ledger, live(ledger, 60, start=10_000))
