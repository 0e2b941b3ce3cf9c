"""The tests of two handlers, as their author writes them."""

import json
from pathlib import Path

from tests.examples.large_refunds import FROM_LINES, large_refunds
from tests.examples.points import metadata, points
from workers.testing import MemoryLedger, load_event

DELIVERED = Path(__file__).parents[1] / "payloads" / "instacart" / "flat" / "delivered.json"


def test_a_delivered_order_earns_its_points_once() -> None:
    with MemoryLedger(metadata) as ledger:
        ledger.apply_twice(points, load_event("instacart", DELIVERED))
        assert ledger.rows("points") == [{"provider": "instacart", "order_id": "fc-104233", "points": 10}]
        assert ledger.alerts() == []


def test_an_order_with_many_refunded_lines_is_one_alert() -> None:
    items = [{"product_id": f"product-{number}", "refunded": True} for number in range(FROM_LINES)]
    body = {"event": "order_item_refund", "order_id": "a", "timestamp": "2026-03-01T12:00:00Z", "items": items}
    with MemoryLedger() as ledger:
        ledger.apply_twice(large_refunds, load_event("instacart", json.dumps(body).encode()))
        assert [alert.title for alert in ledger.alerts()] == ["Order a has 5 refunded lines"]
