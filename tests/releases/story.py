"""What is posted to the recorded deployment, and the expected outcome.

Bodies are small and of the flat dialect, one recorded life of each other dialect beside them. An order's name says what befalls
it: `broken-…` meets a database that refuses its rows for as long as the old release runs, `refuse-…` is refused for good.
"""

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.payloads import recorded

LIFE = ("order_created", "acknowledged", "order_item_replacement", "order_item_refund", "late_delivery", "customer_mia")
TOYSHOP = "toyshop"


class Told(NamedTuple):
    """One body."""

    provider: str
    body: bytes


def flat(order: str, event: str, second: int, **fields: Any) -> Told:
    """A callback of an order; its second of the day makes it news."""
    at = f"2026-11-20T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"
    body: dict[str, Any] = {"event": f"fulfillment.{event}", "order_id": order, "timestamp": at, **fields}
    if event in {"order_created", "late_delivery"}:
        until = "18:00:00" if event == "order_created" else "18:40:00"
        body["order"] = {"id": order, "estimated_delivery_at": f"2026-11-20T{until}Z"}
    if event == "order_item_refund":
        body["items"] = [{"product_id": "bread", "refunded": True}, {"product_id": "milk", "refunded": True}]
    if event == "order_item_replacement":
        body["items"] = [{"product_id": "tea", "replacement": {"product_id": "coffee", "quantity": 1}}]
    return Told("instacart", json.dumps(body, separators=(",", ":")).encode())


def life(order: str, first_second: int, *events: str) -> list[Told]:
    """An order's events, or those named."""
    return [flat(order, event, first_second + number) for number, event in enumerate(events or LIFE)]


def other_dialects() -> list[Told]:
    """A few recorded bodies that are not flat."""
    names = ("afosto/order_opened", "afosto/delivered", "instacart/envelope/order_created", "instacart/envelope/late_delivery")
    return [Told(name.partition("/")[0], recorded(name)) for name in names]


def toy(number: int) -> Told:
    """A notice of a provider whose module the old workers lack: a decode error for them."""
    body = {"id": f"toy-{number}", "type": "order.placed", "order": f"toy-{number}", "at": "2026-11-20T09:00:00Z"}
    return Told(TOYSHOP, json.dumps(body).encode())


@dataclass
class Expected:
    """What the ledger must hold when all that can be applied is applied, as sorted lists."""

    order_events: list[list[str]] = field(default_factory=list)
    refunds: list[list[str]] = field(default_factory=list)
    replacements: list[list[str]] = field(default_factory=list)
    late_deliveries: list[list[str]] = field(default_factory=list)
    customer_mia_alerts: list[list[str]] = field(default_factory=list)


def expected_of(told: list[Told]) -> dict[str, list[list[str]]]:
    """The distinct events of the flat bodies and the toyshop's, by rules that only this file holds."""
    found = Expected()
    for one in dict.fromkeys(told):
        body = _read(one)
        order, name = str(body.get("order_id") or body.get("order")), str(body.get("event") or body.get("type"))
        kind = name.removeprefix("fulfillment.")
        found.order_events.append([order, name])
        if kind == "order_item_refund":
            found.refunds += [[order, "bread"], [order, "milk"]]
        elif kind == "order_item_replacement":
            found.replacements.append([order, "tea", "coffee"])
        elif kind == "late_delivery":
            found.late_deliveries.append([order])
        elif kind == "customer_mia":
            found.customer_mia_alerts.append([order])
    return {table: sorted(rows) for table, rows in vars(found).items()}


def _read(told: Told) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(told.body)
    return read
