"""Instacart's envelope dialect, as its documentation shows it: turns a step of an order into an event with its body.

Orders differ as retailers' configurations do: event names with or without the prefix, event ids as numbers or strings, a
delivery window on the first event or none. Windows are written without a zone, in the store's own time.
"""

import random
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any
from zlib import crc32

import msgspec

from deploy.simulator.flat import rfc3339
from deploy.simulator.instacart_lifecycle import ITEM_KINDS, Step
from deploy.simulator.odd_parts import encoded, junk_items, odd_list, with_note
from deploy.simulator.oddities import Oddities, Oddity
from deploy.simulator.provider_events import INSTACART, Line, ProviderEvent, Window

_NAMES = {"order_created": "brand_new", "staging": "staged", "customer_mia": "customer_missing"}
_ORDER_KINDS = ("order_created", "acknowledged", "picking", "staging", "delivering", "delivered", "canceled", "rescheduled")
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Envelope:
    """Encodes the events of one order. `first_id` is the id of its first event; the next ones count up."""

    def __init__(
        self,
        rng: random.Random,
        order_id: str,
        fulfillment_type: str,
        first_id: int,
        zone: tzinfo,
        oddities: Oddities = frozenset(),
    ) -> None:
        self._order_id, self._type, self._next_id, self._zone = order_id, fulfillment_type, first_id, zone
        self._rng, self._has_odd_parts = rng, Oddity.PARTS in oddities
        self._prefix = "" if rng.random() < 0.1 else "fulfillment."
        self._in_quotes = rng.random() < 0.2
        self._is_unnumbered = rng.random() < 0.5
        self._sends_window = rng.random() < 0.8
        self._retailer = {"user_id": f"customer-{rng.randrange(10**8)}", "retailer_id": "279"}
        self._store = f"{rng.randrange(1, 900):04d}"

    def encode(self, step: Step) -> ProviderEvent:
        """Return the event, with its body."""
        name = self._prefix + _NAMES.get(step.kind, step.kind)
        event_id, self._next_id = self._next_id, self._next_id + 1
        old, new = self._windows(step)
        stated = new or old
        content: dict[str, Any] = {
            "event_id": str(event_id) if self._in_quotes else event_id,
            "event_name": name,
            **({"event_timestamp": rfc3339(step.sent_at)} if step.sent_at else {}),
            "event_metadata": self._metadata(step, old, new),
        }
        event = ProviderEvent(
            provider=INSTACART,
            kind=step.kind,
            name=name,
            order_ids=(self._order_id,),
            at=step.sent_at or step.at,
            has_time=step.sent_at is not None,
            moment=step.at,
            body=b"",
            provider_event_id=str(event_id),
            identified_by=(str(event_id), content["event_timestamp"]) if step.sent_at else (),
            status=step.status if step.kind in _ORDER_KINDS else None,
            fulfillment_type=self._type,
            expected_at=stated.ends_at if stated else None,
            old_window=old if step.kind == "late_delivery" else None,
            new_window=new if step.kind == "late_delivery" else None,
            lines=tuple(_stated(line, step) for line in step.lines),
        )
        if self._has_odd_parts:
            content, event = self._odd(step, content, event)
        return replace(event, body=encoded(_encode(content)))

    def _odd(self, step: Step, content: dict[str, Any], event: ProviderEvent) -> tuple[dict[str, Any], ProviderEvent]:
        """Make parts of the body odd."""
        content, metadata = with_note(content, self._rng), content["event_metadata"]
        if self._order_id.isdecimal() and self._rng.random() < 0.5:
            metadata["order_id"] = int(self._order_id)
        if step.kind == "customer_mia":
            metadata["order_items"] = junk_items(self._rng)
        elif step.kind in ITEM_KINDS:
            odd = odd_list(step.kind, metadata["order_items"], event.lines, self._rng)
            metadata["order_items"] = odd.items
            event = replace(event, lines=odd.lines, fails_in=odd.fails_in)
        return content, event

    def _windows(self, step: Step) -> tuple[Window | None, Window | None]:
        """Return the window in the body, and the new window in it."""
        old = step.promised if self._sends_window else None
        match step.kind:
            case "order_created":
                return old, None
            case "rescheduled":
                return None, step.promised
            case "late_delivery":
                return old, step.expected
        return None, None

    def _metadata(self, step: Step, old: Window | None, new: Window | None) -> dict[str, Any]:
        metadata: dict[str, Any] = {"order_id": self._order_id, **self._retailer, "fulfillment_type": self._type}
        if step.kind not in _ORDER_KINDS[:3]:  # it may be absent until after picking
            metadata["store_location"] = self._store
        for field, window in (("delivery_window", old), ("new_window", new)):
            if window is not None:
                metadata[field] = {"starts_at": self._local(window.starts_at), "ends_at": self._local(window.ends_at)}
        if step.kind in ITEM_KINDS:
            metadata["order_items"] = [self._item(line, step) for line in step.lines]
        if step.kind == "canceled":
            metadata["cancellation_reason"] = "customer_request"
        return metadata

    def _local(self, time: datetime) -> str:
        """Format as the store's local time without a zone; with a zone in the hour that occurs twice."""
        local = time.astimezone(self._zone)
        text = f"{local:%Y-%m-%d %H:%M:%S}"
        again = datetime.fromisoformat(text).replace(tzinfo=self._zone).astimezone(UTC)
        return text if again == time else rfc3339(time)

    def _item(self, line: Line, step: Step) -> dict[str, Any]:
        item = {
            "line_num": str(line.number),
            "qty": line.quantity,
            "qty_unit": line.unit,
            "replaced": line.substitute is not None,
            "refunded": line.refunded,
            "item_upc": _upc(line),
        }
        if line.line is None and self._is_unnumbered:
            del item["line_num"]
        if step.has_all_codes:
            item |= {"item_rrc": line.product, "scan_code": "", "requested_item_rrc": line.product}
        if step.has_all_codes or line.substitute:
            item |= {"delivered_item_rrc": line.substitute.product if line.substitute else line.product}
        return item


def _stated(line: Line, step: Step) -> Line:
    """Return what the body states of a line: no names, and sometimes only the weaker code."""
    stated = replace(line, name=None, substitute=line.substitute and replace(line.substitute, name=None))
    return stated if step.has_all_codes else replace(stated, product=_upc(line))


def _upc(line: Line) -> str:
    """Return a code that goes with the product."""
    return f"{crc32((line.product or '').encode()):012d}"
