"""Provider events as values: each with its body, and with what the body states, in Curbside's terms."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

INSTACART, AFOSTO = "instacart", "afosto"
ENDS = frozenset({"delivered", "canceled"})
PROMISES = frozenset({"order_created", "rescheduled"})
"""Kinds whose estimate is the promise to the customer."""


@dataclass(frozen=True, slots=True)
class Substitute:
    """A substitute for a product."""

    product: str
    name: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Line:
    """The current state of an order's line. `line` is its key; `quantity` is exact."""

    line: str
    product: str
    name: str
    quantity: Decimal
    unit: str | None = None
    refunded: bool = False
    substitute: Substitute | None = None


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """One event and its body. No two events of an order have the same time, except stale copies.

    - `name`: the name in the body; `kind`: its meaning, the same for both dialects.
    - `status`, `fulfillment_type`, `number`, `expected_at`: what the body states of the order; None if it does not.
    - `stated_promise`: the earlier promise, if a late delivery's body states it.
    - `lines`: the whole item list of a replacement or refund.
    - `reencoded`: another encoding of the same body, still the same event.
    """

    provider: str
    kind: str
    name: str
    order_ids: tuple[str, ...]
    at: datetime
    body: bytes
    provider_event_id: str | None = None
    status: str | None = None
    fulfillment_type: str | None = None
    number: str | None = None
    expected_at: datetime | None = None
    stated_promise: datetime | None = None
    lines: tuple[Line, ...] = ()
    reencoded: bytes | None = None
