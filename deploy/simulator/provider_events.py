"""Provider events as values: each with its body, and with what the body states, in Curbside's terms."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

INSTACART, AFOSTO = "instacart", "afosto"
ENDS = frozenset({"delivered", "canceled"})
PROMISES = frozenset({"order_created", "rescheduled"})
"""Kinds whose estimate is the promise to the customer."""


@dataclass(frozen=True, slots=True)
class Window:
    """A delivery window."""

    starts_at: datetime
    ends_at: datetime

    def later(self, minutes: int) -> "Window":
        """The same window, this many minutes later."""
        return Window(self.starts_at + timedelta(minutes=minutes), self.ends_at + timedelta(minutes=minutes))


@dataclass(frozen=True, slots=True)
class Substitute:
    """A substitute for a product. `name` is None where the body does not state it."""

    product: str
    name: str | None
    quantity: Decimal | None


@dataclass(frozen=True, slots=True)
class Line:
    """An order's line as a list states it.

    `number`: which line of the order it truly is; no body says so. `line`: its key in the ledger, None where that cannot be foretold.
    `quantity` is exact. What a list does not state is None.
    """

    number: int
    line: str | None
    product: str | None
    name: str | None
    quantity: Decimal | None
    unit: str | None = None
    refunded: bool = False
    substitute: Substitute | None = None


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """One event and its body.

    - `name`: the name in the body; `kind`: its meaning, the same for both dialects.
    - `at`: the time in the body. `has_time`: whether there is one. `moment`: when the event truly happened, if `at` is not that.
    - `status`, `fulfillment_type`, `number`, `expected_at`: what the body states of the order; None if it does not.
    - `old_window`, `new_window`: the windows that a late delivery's body states.
    - `lines`: the whole item list of a replacement or refund.
    - `identified_by`: the provider's ids and times that make up its identity; empty if its content does.
    - `reencoded`: another encoding of the same body, still the same event.
    - `fails_in`: the handlers for which a part that they need cannot be read.
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
    old_window: Window | None = None
    new_window: Window | None = None
    lines: tuple[Line, ...] = ()
    identified_by: tuple[str, ...] = ()
    reencoded: bytes | None = None
    has_time: bool = True
    moment: datetime | None = None
    fails_in: frozenset[str] = frozenset()
