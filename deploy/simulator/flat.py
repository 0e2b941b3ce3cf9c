"""Instacart's flat dialect, as its AsyncAPI document (2.6.0) defines it: turns a step into an event with its body."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import orjson

from deploy.simulator.instacart_lifecycle import ITEM_KINDS, Step
from deploy.simulator.odd_parts import encoded, odd_list, with_note
from deploy.simulator.oddities import Oddities, Oddity
from deploy.simulator.provider_events import INSTACART, Line, ProviderEvent


class Flat:
    """Encodes the events of one order."""

    def __init__(
        self,
        rng: random.Random,
        order_id: str,
        fulfillment_type: str,
        created_at: datetime,
        oddities: Oddities = frozenset(),
    ) -> None:
        self._order_id, self._type, self._created_at, self._rng = order_id, fulfillment_type, created_at, rng
        self._user_id = f"customer-{rng.randrange(10**8)}"
        self._has_odd_parts = Oddity.PARTS in oddities

    def encode(self, step: Step) -> ProviderEvent:
        """Return the event, with its body."""
        name = f"fulfillment.{step.kind}"
        about_items = step.kind in ITEM_KINDS
        lines = tuple(_stated(line, step) for line in step.lines)
        content: dict[str, Any] = {"event": name, "order_id": self._order_id}
        content |= {**_time(step), "items": list(map(_item, lines))} if about_items else self._order(step)
        event = ProviderEvent(
            provider=INSTACART,
            kind=step.kind,
            name=name,
            order_ids=(self._order_id,),
            at=step.sent_at or step.at,
            has_time=step.sent_at is not None,
            moment=step.at,
            body=b"",
            status=None if about_items else step.status,
            fulfillment_type=None if about_items else self._type,
            expected_at=None if about_items else step.expected.ends_at,
            lines=lines,
        )
        if self._has_odd_parts:
            content, event = self._odd(step, content, event)
        body = orjson.dumps(content)
        again = msgspec.json.format(orjson.dumps(dict(reversed(content.items()))), indent=1)
        return replace(event, body=encoded(body), reencoded=encoded(again))

    def _odd(self, step: Step, content: dict[str, Any], event: ProviderEvent) -> tuple[dict[str, Any], ProviderEvent]:
        """Make parts of the body odd."""
        content = with_note(content, self._rng)
        if self._order_id.isdecimal() and self._rng.random() < 0.5:
            content["order_id"] = int(self._order_id)
        if step.kind == "customer_mia":
            content |= {"status": 7, "order": []}
            event = replace(event, status=None, fulfillment_type=None, expected_at=None)
        elif step.kind in ITEM_KINDS:
            odd = odd_list(step.kind, content["items"], event.lines, self._rng)
            content["items"] = odd.items
            event = replace(event, lines=odd.lines, fails_in=odd.fails_in)
        return content, event

    def _order(self, step: Step) -> dict[str, Any]:
        order = {
            "id": self._order_id,
            "user_id": self._user_id,
            "fulfillment_type": self._type,
            "created_at": rfc3339(self._created_at),
            "estimated_delivery_at": rfc3339(step.expected.ends_at),
        }
        return {"status": step.status, **_time(step), "order": order}


def _time(step: Step) -> dict[str, Any]:
    return {"timestamp": rfc3339(step.sent_at)} if step.sent_at else {}


def _stated(line: Line, step: Step) -> Line:
    """Return what the body states of a line: without its code it is known by its name."""
    return line if step.has_all_codes else replace(line, product=None)


def _item(line: Line) -> dict[str, Any]:
    status = "refunded" if line.refunded else "replaced" if line.substitute else "found"
    item: dict[str, Any] = {"product_id": line.product, "name": line.name, "quantity": _whole(line.quantity), "status": status}
    item |= {"refunded": line.refunded}
    if line.product is None:
        del item["product_id"]
    if line.substitute is not None:
        new = line.substitute
        item |= {"replacement": {"product_id": new.product, "name": new.name, "quantity": _whole(new.quantity)}}
    return item


def _whole(quantity: Decimal | None) -> int:
    return int(quantity or 0)


def rfc3339(time: datetime) -> str:
    """Format a time in UTC, as the providers do."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
