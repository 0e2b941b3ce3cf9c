"""What happens at the providers, as values. A fact is told in one body, and says what that body states, in our words."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

INSTACART, AFOSTO = "instacart", "afosto"
ENDS = frozenset({"delivered", "canceled"})
PROMISES = frozenset({"order_created", "rescheduled"})
"""Facts whose estimate is what the customer is promised."""


@dataclass(frozen=True, slots=True)
class Substitute:
    """A product that stands in for another."""

    product: str
    name: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order as it stands. `line` is its key; `quantity` is exact."""

    line: str
    product: str
    name: str
    quantity: Decimal
    unit: str | None = None
    refunded: bool = False
    substitute: Substitute | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened, and the body that tells it. No two facts of an order have one time, but stale copies of one.

    - `name`: on the wire; `kind`: what it says, whatever the provider calls it.
    - `status`, `fulfillment_type`, `number`, `expected_at`: what the body states of the order, None where it does not.
    - `told_promise`: what had been promised, where a late delivery says so itself.
    - `lines`: the whole item list of a replacement or refund.
    - `retold`: another wording of the same body, which is still the same fact.
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
    told_promise: datetime | None = None
    lines: tuple[Line, ...] = ()
    retold: bytes | None = None
