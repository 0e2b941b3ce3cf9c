"""A third provider is one schema file and one row: it has an address, is authenticated, decoded, deduplicated and watched for drift."""

import json
from typing import Any

import pytest

from schemas.contracts import CONTRACTS
from schemas.drift import What
from schemas.failures import Reason
from tests.examples import toyshop
from tests.support.ingress import Serve, bearer
from tests.support.slow_lane import SlowLane
from workers.drift import Drift, read_drift

PLACED = {"id": "n-1", "type": "order.placed", "order": "toy-7", "at": "2026-03-02T08:00:00Z"}


@pytest.fixture(autouse=True)
def _a_row_for_the_toyshop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTRACTS, toyshop.NAME, toyshop.CONTRACT)


def notice(**fields: Any) -> bytes:
    return json.dumps({**PLACED, **fields}).encode()


def test_its_events_go_all_the_way_once(serve: Serve, real_valkey_url: str, lane: SlowLane) -> None:
    client = serve(REDIS_URL=real_valkey_url)
    bodies = [
        notice(),
        notice(),
        notice(id="n-2", type="order.arrived", at="2026-03-02T09:00:00Z"),
        notice(id="n-3", type="order.hugged"),
    ]
    for body in bodies:
        assert client.post("/webhook/toyshop", content=body, headers=bearer()).status_code == 200
    lane.work()
    (order,) = lane.books.rows("orders")
    assert (order["provider"], order["order_id"], order["status"]) == ("toyshop", "toy-7", "delivered")
    history = sorted((row["name"], row["kind"]) for row in lane.books.rows("order_events"))
    assert history == [("order.arrived", "delivered"), ("order.hugged", "unrecognised"), ("order.placed", "order_created")]
    assert (lane.sums.count("routed"), lane.sums.count("duplicate")) == (3, 1)


def test_without_a_token_nothing_comes_in(serve: Serve, real_valkey_url: str) -> None:
    answer = serve(REDIS_URL=real_valkey_url).post("/webhook/toyshop", content=notice())
    assert answer.status_code == 401


def test_what_it_gets_wrong_names_the_place(lane: SlowLane) -> None:
    event_id = lane.append(notice(order=7), "toyshop")
    lane.drain()
    failure = lane.failures.get("drain", event_id)
    assert (failure.reason, failure.message) == (Reason.WRONG_TYPE, "$.order: expected string, got integer")


def test_its_drift_is_seen(lane: SlowLane) -> None:
    drift = Drift(lane.client)
    body = notice(gift_note=5, colour="red")
    drift.watch([(toyshop.decode(body, "1732230000000-0", lane.zone), body)])
    drift.tell()
    found = {(each.finding.what, each.finding.path, each.finding.found) for each in read_drift(lane.client)}
    assert found == {(What.WRONG_TYPE, "$.gift_note", "number"), (What.UNKNOWN_FIELD, "$.colour", "string")}


def test_where_there_is_nothing_the_answer_names_it_too(serve: Serve, real_valkey_url: str) -> None:
    assert "toyshop" in serve(REDIS_URL=real_valkey_url).post("/webhook/nobody", content=b"{}").json()["detail"]
