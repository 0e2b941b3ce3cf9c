"""The path of an event over real processes: posted as providers do, acknowledged, dispatched, applied to the ledger."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import redis

from schemas import keys
from schemas.drift import DriftKind
from schemas.events import Provider
from tests.bench.bodies import mixed
from tests.payloads import AFOSTO_DELIVERY, AFOSTO_ORDER, AFOSTO_OTHER_ORDER, ENVELOPE_ORDER, FLAT_ORDER, recorded
from tests.support.event_sums import BUILT_IN, failures, pending, sums
from tests.support.ingress_client import ProviderClient
from tests.support.leak_check import find_leaks
from tests.support.ledger_fixture import LedgerReader, Row, reading_ledger
from tests.support.live_deployment import Deployment, deployed
from tests.support.valkey_servers import RealValkey, broker_of
from tests.support.waiting import wait_for
from workers.contract_drift import read_drift
from workers.ledger.tables import customer_mia_alerts, late_deliveries, order_events, orders, outbox, refunds, replacements

INSTACART_LIFE = (
    "order_created", "rescheduled", "acknowledged", "picking", "order_item_replacement", "order_item_refund", "staging",
    "delivering", "late_delivery", "customer_mia", "canceled", "delivered",
)  # fmt: skip
AFOSTO_LIFE = ("order_opened", "order_updated", "in_transit", "delivered", "order_closed")
AFOSTO_IDS = (AFOSTO_ORDER, AFOSTO_OTHER_ORDER, AFOSTO_DELIVERY)


class Route:
    """A deployment, a provider that posts to it, and its ledger."""

    def __init__(
        self, deployment: Deployment, poster: ProviderClient, rows: LedgerReader, valkey: redis.Redis, valkey_url: str
    ) -> None:
        self.deployment, self.poster, self.rows, self.valkey = deployment, poster, rows, valkey
        self.valkey_url = valkey_url

    def post(self, provider: str, body: bytes) -> str:
        """Post a body and wait until it is settled."""
        event_id = self.poster.post(provider, body)
        self.wait_until_settled()
        return event_id

    def wait_until_settled(self, timeout_seconds: float = 15.0) -> None:
        """Wait until every event has its outcome."""
        wait_for(lambda: sums(self.valkey).is_settled, timeout_seconds, "all events to be handled")


@contextmanager
def route(valkey_url: str, ledger_url: str, folder: Path) -> Iterator[Route]:
    with (
        deployed(folder, REDIS_URL=valkey_url, DATABASE_URL=ledger_url) as deployment,
        ProviderClient(deployment.ingress.url) as poster,
        reading_ledger(ledger_url) as rows,
        redis.Redis.from_url(valkey_url) as valkey,
    ):
        yield Route(deployment, poster, rows, valkey, valkey_url)
        sums(valkey).check()


def at(time: str) -> datetime:
    return datetime.fromisoformat(f"2024-{time}").replace(tzinfo=UTC)


def only(rows: list[Row], *columns: str) -> Row:
    """These columns of the only row."""
    assert len(rows) == 1, rows
    return {column: rows[0][column] for column in columns}


def test_every_message_of_both_providers_ends_as_the_right_rows(real_valkey_url: str, ledger_url: str, tmp_path: Path) -> None:
    with route(real_valkey_url, ledger_url, tmp_path) as it:
        for dialect in ("flat", "envelope"):
            for name in INSTACART_LIFE:
                it.post(Provider.INSTACART, recorded(f"instacart/{dialect}/{name}"))
        for name in AFOSTO_LIFE:
            it.post(Provider.AFOSTO, recorded(f"afosto/{name}"))
        for order_id in (FLAT_ORDER, ENVELOPE_ORDER):
            _check_instacart_order(it.rows, order_id)
        _check_items(it.rows)
        _check_afosto(it.rows)
        wait_for(lambda: all(row["sent_at"] for row in it.rows.of(outbox)), what="the alerts to be sent")
        assert failures(it.valkey) == {}
        assert sums(it.valkey).counters["routed"] == 2 * len(INSTACART_LIFE) + len(AFOSTO_LIFE)
        assert it.deployment.logs.count("ALERT") == 4


def _check_instacart_order(rows: LedgerReader, order_id: str) -> None:
    of_order = {"provider": "instacart", "order_id": order_id}
    order = only(rows.of(orders, **of_order), "status", "status_at", "expected_at", "promised_at", "fulfillment_type")
    assert order == {
        "status": "delivered",
        "status_at": at("11-22T18:24:50"),
        "expected_at": at("11-22T18:25"),
        "promised_at": at("11-22T18:00"),
        "fulfillment_type": "delivery",
    }
    history = sorted(rows.of(order_events, **of_order), key=lambda row: row["occurred_at"])
    assert [row["kind"] for row in history] == list(INSTACART_LIFE)
    late = only(rows.of(late_deliveries, **of_order), "promised_at", "expected_at", "minutes_late")
    assert late == {"promised_at": at("11-22T18:00"), "expected_at": at("11-22T18:25"), "minutes_late": 25}
    missing = only(rows.of(customer_mia_alerts, **of_order), "occurred_at", "closed_at")
    assert missing == {"occurred_at": at("11-22T18:12:03"), "closed_at": at("11-22T18:20")}
    topics = [row["topic"] for row in rows.of(outbox, channel="log") if order_id in row["title"]]
    assert sorted(topics) == ["customer_mia", "late_delivery"]


def _check_items(rows: LedgerReader) -> None:
    columns = ("line", "product", "quantity", "unit")
    assert only(rows.of(refunds, order_id=FLAT_ORDER), *columns) == dict(
        zip(columns, ("0042-sourdough", "0042-sourdough", Decimal(1), None), strict=True)
    )
    refunded = only(rows.of(refunds, order_id=ENVELOPE_ORDER), *columns)
    assert refunded == dict(zip(columns, ("3", "RRC-1003", Decimal("1.50"), "lb"), strict=True))
    assert str(refunded["quantity"]) == "1.50", "a fractional quantity is kept exactly"
    more = ("line", "product", "substitute", "substitute_quantity", "superseded_by")
    assert only(rows.of(replacements, order_id=FLAT_ORDER), *more) == dict(
        zip(more, ("0042-oat-milk", "0042-oat-milk", "0042-oat-milk-barista", Decimal(2), None), strict=True)
    )
    assert only(rows.of(replacements, order_id=ENVELOPE_ORDER), *more) == dict(
        zip(more, ("2", "RRC-1002", "RRC-2002", Decimal(2), None), strict=True)
    )
    ids = {row["provider_event_id"] for row in rows.of(order_events, order_id=ENVELOPE_ORDER)}
    assert "1201895966044343939" in ids, "an event id above 2^53 survives exactly"


def _check_afosto(rows: LedgerReader) -> None:
    states = {each: only(rows.of(orders, provider="afosto", order_id=each), "status", "number") for each in AFOSTO_IDS}
    assert states == {
        AFOSTO_ORDER: {"status": "closed", "number": "1042"},
        AFOSTO_OTHER_ORDER: {"status": "in_transit", "number": None},
        AFOSTO_DELIVERY: {"status": "delivered", "number": None},
    }
    history = {each: [row["name"] for row in _by_time(rows.of(order_events, order_id=each))] for each in AFOSTO_IDS}
    assert history == {
        AFOSTO_ORDER: ["ORDER_OPENED", "ORDER_UPDATED", "IN_TRANSIT", "ORDER_CLOSED"],
        AFOSTO_OTHER_ORDER: ["IN_TRANSIT"],
        AFOSTO_DELIVERY: ["DELIVERED"],
    }


def _by_time(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["occurred_at"])


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Route]:
    """One deployment with its own Valkey for all tests below. Each test compares with the state before it."""
    folder, valkey = tmp_path_factory.mktemp("on_sqlite"), RealValkey()
    try:
        valkey.start()
        with route(valkey.url, f"sqlite:///{folder / 'ledger.db'}", folder) as it:
            yield it
        assert find_leaks(valkey.url) == []
    finally:
        valkey.discard()


def test_a_redelivery_is_one_event_and_a_revert_is_a_new_one(on_sqlite: Route) -> None:
    flat, envelope = recorded("instacart/flat/picking"), recorded("instacart/envelope/order_item_refund")
    spaced = flat.replace(b'": ', b'" :  ')
    reverted = flat.replace(b"16:31:40", b"17:01:00")
    bodies = [flat, flat, spaced, reverted, envelope, envelope]
    before = sums(on_sqlite.valkey)
    ids = [on_sqlite.post(Provider.INSTACART, body) for body in bodies]
    assert len(set(ids)) == len(bodies), "every acknowledgement names its own receipt"
    after = sums(on_sqlite.valkey)
    assert {name: after.count(name) - before.count(name) for name in ("routed", "duplicate")} == {"routed": 3, "duplicate": 3}
    history = _by_time(on_sqlite.rows.of(order_events, order_id=FLAT_ORDER, kind="picking"))
    assert [row["occurred_at"] for row in history] == [at("11-22T16:31:40"), at("11-22T17:01:00")]
    assert len(on_sqlite.rows.of(refunds, order_id=ENVELOPE_ORDER)) == 1


def test_a_decode_error_is_kept_and_delays_no_other_event(on_sqlite: Route) -> None:
    bad = on_sqlite.post(Provider.INSTACART, b'{"event": "fulfillment.picking", "order_id": ')
    on_sqlite.post(Provider.INSTACART, recorded("instacart/flat/staging"))
    (field, failure), = failures(on_sqlite.valkey).items()  # fmt: skip
    assert (field, failure.reason) == (f"dispatch:{bad}", "malformed")
    assert len(on_sqlite.rows.of(order_events, kind="staging")) == 1


def test_losing_every_notification_delays_events_by_seconds_and_loses_none(on_sqlite: Route) -> None:
    url = on_sqlite.valkey_url
    wait_for(lambda: not _is_awake(on_sqlite.valkey), what="the workers to fall asleep")
    with redis.Redis.from_url(broker_of(url)) as broker:
        on_sqlite.valkey.set(
            keys.notified(keys.DISPATCH), "1", px=1000
        )  # notified a moment ago, and lost with the broker's database
        broker.flushdb()
    on_sqlite.post(Provider.INSTACART, recorded("instacart/flat/delivering"))
    assert len(on_sqlite.rows.of(order_events, kind="delivering")) == 1


def _is_awake(valkey: redis.Redis) -> int:
    return int(valkey.exists(*(keys.waiter(queue) for queue in (keys.DISPATCH, *BUILT_IN))))


def test_workers_stopped_under_load_end_soon_and_lose_no_event(on_sqlite: Route) -> None:
    bodies, workers = mixed(600, seed=7), on_sqlite.deployment.workers
    before = sums(on_sqlite.valkey).received
    with ThreadPoolExecutor() as pool:
        posting = pool.submit(lambda: [on_sqlite.poster.post(*posted) for posted in bodies])
        wait_for(lambda: sums(on_sqlite.valkey).received > before + 100, what="load")
        for worker in workers:
            worker.terminate()
        assert [worker.wait() for worker in workers] == [0, 0]
        for worker in workers:
            worker.start()
        acknowledged = posting.result()
    on_sqlite.wait_until_settled(40)
    assert sums(on_sqlite.valkey).received == before + len(acknowledged)
    assert not pending(on_sqlite.valkey)


def test_a_new_field_and_a_new_event_are_drift_within_seconds(on_sqlite: Route) -> None:
    """Under load one body every quarter of a second is checked for drift, so the body is posted until it was."""
    picking = json.loads(recorded("instacart/flat/picking"))
    ids: dict[str, list[str]] = {"fulfillment.picking": [], "fulfillment.weighed": []}

    def are_found() -> bool:
        for name, posted in ids.items():
            news = {
                **picking,
                "event": name,
                "timestamp": f"2024-11-22T16:{len(posted):02d}:00Z",
                "shelf": "behind the oat milk",
            }
            posted.append(on_sqlite.post(Provider.INSTACART, json.dumps(news).encode()))
        findings = [each.finding for each in read_drift(on_sqlite.valkey)]
        found = {(each.what, each.path) for each in findings if each.first_event_id in ids.get(each.event, ())}
        return found == {(DriftKind.UNKNOWN_FIELD, "$.shelf"), (DriftKind.UNKNOWN_EVENT, "$")}

    wait_for(are_found, what="both to be found")
    said = "drift: instacart fulfillment.picking: unknown_field $.shelf (string), first in event "
    wait_for(lambda: said in on_sqlite.deployment.logs, what="the log's line, after the record")
    logs = on_sqlite.deployment.logs
    assert logs.count(said) == 1
    assert logs.count("drift: instacart fulfillment.weighed: unknown_event $ ") == 1
    assert "behind the oat milk" not in logs
