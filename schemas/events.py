"""Events as handlers see them: one shape for every provider and dialect, in UTC, with exact numbers.

`decode` in `schemas.decoding` is the only place that makes an `Event` out of a body. The structs hold texts, numbers, times
and each other, never a cycle, so the garbage collector need not track them (`gc=False`).
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from schemas.request_context import NO_CONTEXT, RequestContext

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Provider(StrEnum):
    """The built-in providers. The value is stored in the inbox and in every table: never change one."""

    INSTACART = "instacart"
    AFOSTO = "afosto"


class Kind(StrEnum):
    """The kinds of event, the same for all providers. The value is stored: never change one."""

    ORDER_CREATED = "order_created"
    ACKNOWLEDGED = "acknowledged"
    PICKING = "picking"
    STAGING = "staging"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    CANCELED = "canceled"
    RESCHEDULED = "rescheduled"
    LATE_DELIVERY = "late_delivery"
    ORDER_ITEM_REPLACEMENT = "order_item_replacement"
    ORDER_ITEM_REFUND = "order_item_refund"
    CUSTOMER_MIA = "customer_mia"
    ORDER_OPENED = "order_opened"
    ORDER_UPDATED = "order_updated"
    ORDER_CLOSED = "order_closed"
    IN_TRANSIT = "in_transit"
    UNRECOGNISED = "unrecognised"
    """A well-formed event whose name is not known. It is kept and not refused, since the providers' lists grow."""


class Window(Struct, frozen=True, gc=False):
    """A delivery window as sent, read in UTC. It may be nonsense (an end before its start) or half missing."""

    starts_at: datetime | None = None
    ends_at: datetime | None = None


class Product(Struct, frozen=True, gc=False):
    """A product that replaces another."""

    product: str
    name: str | None = None
    quantity: Decimal | None = None


class Line(Struct, frozen=True, gc=False):
    """One line of an order as an item event lists it.

    `line` is the provider's own key of the line, or the product's where there is none; a second line of the same product
    gets `#2`, and so on, so that both can be refunded. `quantity` is exact: goods are sold by weight.
    """

    line: str
    name: str | None = None
    product: str | None = None
    quantity: Decimal | None = None
    unit: str | None = None
    refunded: bool = False
    substitute: Product | None = None


class Event(Struct, frozen=True, gc=False):
    """One acknowledged callback, decoded. Times are UTC and aware.

    - `event_id`: the inbox stream id, our name for it everywhere (`1732230000000-0`).
    - `provider`: the name in `schemas.contracts.CONTRACTS` of who sent it.
    - `identity`: 22 characters; the same for a redelivery, different for any news (see `schemas.identity`).
    - `order_ids`: the provider's own ids; several for a parcel of several orders, never empty.
    - `occurred_at`: the provider's time; our receive time where the body has none.
    - `status`: the order's status this event states, in the provider's words, or None if it states none.
    - `promised_at`: by when the delivery is expected now: the estimate, or the end of the window.
    - `window`, `new_window`: the delivery window, and the one that replaces it.
    - `request`: the request context, untrusted text. It is no part of `identity`: that of a redelivery may differ.
    """

    event_id: str
    identity: str
    provider: str
    name: str
    kind: Kind
    order_ids: tuple[str, ...]
    occurred_at: datetime
    received_at: datetime
    provider_event_id: str | None = None
    status: str | None = None
    fulfillment_type: str | None = None
    number: str | None = None
    promised_at: datetime | None = None
    window: Window | None = None
    new_window: Window | None = None
    lines: tuple[Line, ...] = ()
    request: RequestContext = NO_CONTEXT


def received_at(event_id: str) -> datetime:
    """When Valkey stored the event: a stream id begins with the server's time in milliseconds."""
    return _EPOCH + int(event_id.partition("-")[0]) * _MILLISECOND
