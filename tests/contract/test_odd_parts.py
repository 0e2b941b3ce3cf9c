"""A part of a body that cannot be read fails no more than itself: on both databases, from the bytes to the rows."""

from collections.abc import Iterator
from datetime import UTC
from typing import Any

import msgspec
import pytest

from schemas.decoding import decode
from schemas.drift import DriftKind
from schemas.events import Event
from schemas.failures import FailureState, Reason
from tests.support.ledger_fixture import LedgerFixture
from tests.support.stepped_deployment import SteppedDeployment, open_stepped_deployment
from workers.contract_drift import DriftMonitor, read_drift

RECEIVED = "1767323100000-0"
AT = "2026-01-02T03:04:05Z"


def read(body: dict[str, Any] | bytes, provider: str = "instacart") -> Event:
    return decode(provider, body if isinstance(body, bytes) else msgspec.json.encode(body), RECEIVED, UTC)


def envelope(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "event_id": 1,
        "event_name": f"fulfillment.{name}",
        "event_timestamp": AT,
        "event_metadata": {"order_id": "o"} | metadata,
    }


@pytest.fixture
def deployment(real_valkey_url: str, migrated_ledger_url: str) -> Iterator[SteppedDeployment]:
    with open_stepped_deployment(real_valkey_url, migrated_ledger_url) as opened:
        yield opened


ODD_LISTS: list[Any] = [
    [{"line_num": "1", "qty": ""}], {}, [None], ["x"], {"0": {"line_num": "1"}, "1": {"line_num": "2"}}, [{"qty": "1 lb"}],
    [{"refunded": "false"}], [{"replaced": "yes"}], "none", 7, True, [[]], [{"qty": []}], {"line_num": "1"}, [{"line_num": "x" * 300}],
]  # fmt: skip


@pytest.mark.parametrize("items", ODD_LISTS, ids=str)
def test_a_customer_mia_alert_needs_no_items(ledger_fixture: LedgerFixture, items: Any) -> None:
    ledger_fixture.apply_each(read(envelope("customer_mia", order_items=items)))
    ledger_fixture.apply_each(read({"event": "customer_mia", "order_id": "flat", "timestamp": AT, "items": items}))
    assert ledger_fixture.alerts() == ["Customer of order flat cannot be found", "Customer of order o cannot be found"]
    assert len(ledger_fixture.rows("order_events")) == 2


ODD_MIA: list[bytes] = [
    b'{"event":"customer_mia","order_id":"o","timestamp":"2026-01-02T03:04:05Z","status":7}',
    b'{"event":"customer_mia","order_id":"o","timestamp":"2026-01-02T03:04:05Z","order":[]}',
    b'{"event":"customer_mia","order":[{"id":"o"}],"timestamp":"2026-01-02T03:04:05Z"}',
    b'{"event":"customer_mia","order_id":"o","timestamp":"soon"}',
    b'{"event":"customer_mia","order_id":"o","timestamp":{"at":1}}',
    b'{"event":"customer_mia","order_id":"o","timestamp":true}',
    b'{"event":"customer_mia","order_id":"o","timestamp":"0001-01-01T00:00:00Z"}',
    b'{"event":"customer_mia","order_id":"o"}',
    b'{"event":"customer_mia","order_id":"o","note":"\\ud83d"}',
    b'{"event":"customer_mia","order_id":"o","\\ud83d":1}',
    b'{"event":"customer_mia","order_id":"o","note":"caf\xe9"}',
    b'{"event":"customer_mia","order_id":"o","note":"\xed\xa0\xbd"}',
    b'{"event":"customer_mia","order_id":"o","tip":NaN}',
    b'{"event":"customer_mia","order_id":"o","note":"a\tb\x00"}',
    b'\xef\xbb\xbf{"event":"customer_mia","order_id":"o"}',
    b'{"event":"customer_mia","order_id":"o","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"event":"customer_mia","order_id":"o","items":[{"quantity":' + b"9" * 5000 + b"}]}",
    b'{"event_id":1.5,"event_name":"customer_mia","event_timestamp":"2026-01-02T03:04:05Z","event_metadata":{"order_id":"o"}}',
    b'{"event_id":{},"event_name":"customer_mia","event_timestamp":"2026-01-02T03:04:05Z","event_metadata":{"order_id":"o"}}',
    b'{"event_id":true,"event_name":"customer_mia","event_timestamp":"2026-01-02T03:04:05Z","event_metadata":[{"order_id":"o"}]}',
    b'{"event_id":1,"event_name":"customer_mia","event_timestamp":[],"event_metadata":{"order_id":"o","delivery_window":[]}}',
]


@pytest.mark.parametrize("body", ODD_MIA, ids=lambda body: body[-60:].decode("ascii", "replace"))
def test_a_customer_mia_alert_needs_only_its_order(ledger_fixture: LedgerFixture, body: bytes) -> None:
    event = read(body)
    ledger_fixture.apply_each(event)
    assert ledger_fixture.alerts() == ["Customer of order o cannot be found"]
    assert len(event.identity) == 22


@pytest.mark.parametrize(
    "odd",
    [
        {"line_num": "3", "refunded": True, "qty": "1,5"},
        {"line_num": "3", "refunded": True, "qty": "2 lb"},
        {"line_num": "3", "refunded": True, "qty": []},
        {"line_num": "3", "refunded": "perhaps"},
        {"line_num": "3", "refunded": {}},
        {"line_num": "3", "status": "Refunded", "quantity": "NaN"},
        "a line",
    ],
    ids=str,
)
def test_of_three_lines_two_are_refunded_and_the_odd_one_is_one_failure(deployment: SteppedDeployment, odd: Any) -> None:
    lines = [{"line_num": "1", "refunded": True, "qty": 1}, odd, {"line_num": "2", "refunded": "true", "qty": "2.50"}]
    event_id = deployment.append(msgspec.json.encode(envelope("order_item_refund", order_items=lines)))
    deployment.work()
    before = deployment.ledger_fixture.rows("refunds")
    assert [(row["line"], str(row["quantity"])) for row in before] == [("1", "1"), ("2", "2.50")]
    (failure,) = deployment.failures.all()
    assert (failure.handler, failure.event_id, failure.state) == ("refunds", event_id, FailureState.DEAD)
    assert failure.reason is Reason.WRONG_TYPE
    assert failure.message.startswith("$.event_metadata.order_items[1]")
    assert failure.message.endswith("(line 3)") is isinstance(odd, dict)
    assert not [value for value in ("1,5", "2 lb", "perhaps", "a line") if value in failure.message]
    deployment.failures.retry("refunds", event_id, 1)
    assert [type(each).__name__ for each in deployment.run_due_retries()] == ["EventFailedError"]
    assert deployment.ledger_fixture.rows("refunds") == before
    assert deployment.sums.count("failed:refunds") == 1
    assert len(deployment.ledger_fixture.rows("order_events")) == 1, "the timeline never fails"


def test_a_failure_names_each_line_that_cannot_be_read_and_no_name_of_a_product(deployment: SteppedDeployment) -> None:
    lines: list[Any] = [{"line_num": "0012", "refunded": True, "quantity": "x"}, {"name": "Jane Roe's cake", "refunded": 3}]
    deployment.append(
        msgspec.json.encode(
            {"event": "order_item_refund", "order_id": "o", "timestamp": AT, "items": [*lines, *[{"refunded": "?"}] * 40]}
        )
    )
    deployment.work()
    (failure,) = deployment.failures.all()
    assert failure.message.startswith(
        "$.items[0].quantity: expected a decimal number, got other text (line 0012); $.items[1].refunded: expected boolean, got number;"
    )
    assert failure.message.endswith("; and 22 more")
    assert "Jane" not in failure.message


def test_an_odd_line_that_is_not_refunded_fails_nothing(deployment: SteppedDeployment) -> None:
    items = [{"product_id": 7, "refunded": 1, "replacement": []}, {"product_id": 8.0, "quantity": "some"}]
    deployment.append(msgspec.json.encode({"event": "order_item_refund", "order_id": 5, "timestamp": AT, "items": items}))
    deployment.work()
    assert [(row["order_id"], row["line"]) for row in deployment.ledger_fixture.rows("refunds")] == [("5", "7")]
    assert deployment.failures.count() == 0


def test_an_odd_substitute_fails_the_replacements_alone(deployment: SteppedDeployment) -> None:
    items = [
        {"product_id": "a", "status": " REPLACED ", "replacement": [{"product_id": 9, "quantity": "1"}]},
        {"product_id": "b", "replacement": {"product_id": "c", "quantity": "a few"}},
    ]
    deployment.append(
        msgspec.json.encode({"event": "order_item_replacement", "order_id": "o", "timestamp": AT, "items": items})
    )
    deployment.work()
    assert [(row["line"], row["substitute"]) for row in deployment.ledger_fixture.rows("replacements")] == [("a", "9")]
    (failure,) = deployment.failures.all()
    assert failure.field.startswith("replacements:")
    assert failure.message == "$.items[1].replacement.quantity: expected a decimal number, got other text (line b)"


LINES = {"1": {"line_num": "1", "refunded": True}, "2": {"line_num": "2", "refunded": True}}


@pytest.mark.parametrize(
    "items",
    [LINES, {"0": LINES["1"], "1": LINES["2"]}, {"10": LINES["2"], "9": LINES["1"]}, [[LINES["1"]], LINES["2"]]],
    ids=str,
)
def test_a_list_that_php_wrote_is_that_list(ledger_fixture: LedgerFixture, items: Any) -> None:
    event = read(envelope("order_item_refund", order_items=items))
    ledger_fixture.apply_each(event)
    assert [line.line for line in event.lines] == ["1", "2"]
    assert [row["line"] for row in ledger_fixture.rows("refunds")] == ["1", "2"]


@pytest.mark.parametrize("word", ["Refunded", "REFUNDED", " refunded\n"])
def test_a_status_is_read_in_any_case(ledger_fixture: LedgerFixture, word: str) -> None:
    ledger_fixture.apply_each(read(envelope("order_item_refund", order_items={"line_num": 7, "status": word}, status=word)))
    assert [row["line"] for row in ledger_fixture.rows("refunds")] == ["7"]
    assert ledger_fixture.row("orders")["status"] is None, "a status of items is not the order's"


@pytest.mark.parametrize(
    ("fields", "order"),
    [
        ({"entity_type": "Delivery", "data": {"parcels": {"1": {"items": {"order": {"id": 5}}}}}}, "5"),
        ({"data": {"parcels": {"items": [{"order": [{"id": "5"}]}]}}}, "5"),
        ({"data": [{"parcels": [{"items": {"0": {"order": {"id": "5"}}}}]}]}, "5"),
        ({"entity_type": 3, "data": []}, "77"),
        ({"entity_type": "delivery", "data": ""}, "77"),
    ],
    ids=str,
)
def test_an_afosto_delivery_is_read_by_its_name(ledger_fixture: LedgerFixture, fields: dict[str, Any], order: str) -> None:
    body = {"event": "IN_TRANSIT", "entity_id": 77, "message_id": 8, "triggered_at": "1767323045000"} | fields
    event = read(body, "afosto")
    ledger_fixture.apply_each(event)
    assert ledger_fixture.row("order_events")["order_id"] == order
    assert event.identity == read(body | {"message_id": "8"}, "afosto").identity
    assert event.occurred_at.isoformat() == "2026-01-02T03:04:05+00:00"


def findings(client: Any, *events: tuple[Event, bytes]) -> list[tuple[str, str, str, int]]:
    drift = DriftMonitor(client, lambda: 0.0)
    drift.observe([(events[0][0], events[0][1])])  # the one that is inspected whatever it is
    drift.flush()
    drift.observe(events)
    drift.flush()
    return [(each.finding.what, each.finding.path, each.finding.found, each.times) for each in read_drift(client)]


def seen(body: dict[str, Any]) -> tuple[Event, bytes]:
    raw = msgspec.json.encode(body)
    return read(raw), raw


def test_every_odd_part_is_a_finding_whatever_is_sampled(deployment: SteppedDeployment) -> None:
    plain = seen(envelope("customer_mia"))
    odd = [
        seen(envelope("customer_mia", order_items=[None])),
        seen(envelope("customer_mia", order_items=[{"qty": "1 lb"}] * 2)),
    ]
    odd += [seen(envelope("customer_mia") | {"event_timestamp": "soon"})]
    assert findings(deployment.client, plain, *odd) == [
        (DriftKind.WRONG_TYPE, "$.event_metadata.order_items[]", "null", 1),
        (DriftKind.WRONG_TYPE, "$.event_metadata.order_items[].qty", "string", 1),
        (DriftKind.WRONG_TYPE, "$.event_timestamp", "string", 1),
    ]


def test_every_flat_body_without_a_time_is_counted(deployment: SteppedDeployment) -> None:
    plain = seen({"event": "picking", "order_id": "o", "timestamp": AT})
    bare = [seen({"event": "picking", "order_id": f"o{number}"}) for number in range(5)]
    assert findings(deployment.client, plain, *bare) == [(DriftKind.NO_TIME, "$.timestamp", "nothing", 5)]
