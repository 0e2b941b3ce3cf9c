"""Events as handlers see them: one shape for every provider and dialect, in UTC, with exact numbers.

`decode` in `schemas.decoding` is the only place that makes an `Event` out of a body. The structs hold texts, numbers, times
and each other, never a cycle, so the garbage collector need not track them (`gc=False`).
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import force_setattr

from schemas.request_context import NO_CONTEXT, RequestContext

CLOCK_TOLERANCE = timedelta(minutes=10)
"""The default of the setting: how far a provider's clock may be ahead of ours."""
EARLIEST_YEAR = 2000
"""A time before it names no time: an unset clock, or a field that holds nothing."""
_FASTEST_CLOCK = timedelta(hours=36)
"""A time further ahead of receipt is no clock that runs fast: it names no time."""
_NOT_BOUNDED = datetime.max.replace(tzinfo=UTC)
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


class Effect(StrEnum):
    """What a line of an order can state beside its product."""

    REFUND = "refund"
    REPLACEMENT = "replacement"


class Unreadable(Struct, frozen=True, gc=False):
    """A part of a body that could not be read. The rest of its event is used all the same.

    `path`: its place in the document, such as `$.items[2].quantity`. `problem`: what was expected and what was found, without any
    value. `found`: its JSON type. `effects`: what cannot be told without it. `line`: the key of its line, if that could be read.
    """

    path: str
    problem: str
    found: str
    effects: tuple[Effect, ...] = ()
    line: str | None = None


class Product(Struct, frozen=True, gc=False, omit_defaults=True):
    """A product that replaces another. `codes`: all codes that the provider gives it, as in `Line`."""

    product: str
    name: str | None = None
    quantity: Decimal | None = None
    codes: tuple[tuple[str, str], ...] = ()


class Line(Struct, frozen=True, gc=False, omit_defaults=True):
    """One line of an order as an item event lists it.

    `line` is the provider's own key of the line, or the product's where there is none; a second line of the same product
    gets `#2`, and so on, so that both can be refunded. `quantity` is exact: goods are sold by weight.

    A list may come in another order each time, and a line's key may change when the provider sends more codes. `number` (the
    retailer's own line number) and `codes` (kind and value of each product code, the strongest first) are what lines of
    different lists are matched by. `unknown`: what the line states of these effects could not be read.
    """

    line: str
    name: str | None = None
    product: str | None = None
    quantity: Decimal | None = None
    unit: str | None = None
    refunded: bool = False
    substitute: Product | None = None
    number: str | None = None
    codes: tuple[tuple[str, str], ...] = ()
    unknown: tuple[Effect, ...] = ()


class Event(Struct, frozen=True, gc=False):
    """One acknowledged callback, decoded. Times are UTC and aware.

    - `event_id`: the inbox stream id, our name for it everywhere (`1732230000000-0`).
    - `provider`: the name in `schemas.contracts.CONTRACTS` of who sent it.
    - `identity`: 22 characters; the same for a redelivery, different for any news (see `schemas.identity`).
    - `order_ids`: the provider's own ids; several for a parcel of several orders, never empty.
    - `occurred_at`: the provider's time as sent; our receive time where the body names none.
    - `has_time`: whether the body names a time.
    - `ordered_at`: what decides which of two events is newer: `occurred_at`, but no later than receipt and the tolerance for
      clocks that are ahead (`CLOCK_TOLERANCE`).
    - `status`: the order's status this event states, in the provider's words, or None if it states none.
    - `promised_at`: by when the delivery is expected now: the estimate, or the end of the window.
    - `window`, `new_window`: the delivery window, and the one that replaces it.
    - `lines`: the lines that could be read. `unreadable`: the parts of the body that could not.
    - `mended`: whether the body is not as documented in its structure, or nearly JSON only, and had to be mended to be read.
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
    unreadable: tuple[Unreadable, ...] = ()
    has_time: bool = True
    ordered_at: datetime = _NOT_BOUNDED
    mended: bool = False

    def __post_init__(self) -> None:
        """Bound the time that orders the event, unless the caller has."""
        if self.ordered_at is _NOT_BOUNDED:
            force_setattr(self, "ordered_at", bounded(self.occurred_at, self.received_at))


def bounded(occurred_at: datetime, received_at: datetime, tolerance: timedelta = CLOCK_TOLERANCE) -> datetime:
    """The provider's time, no later than `tolerance` after receipt. A time of another age counts as none: then it is receipt."""
    if occurred_at <= received_at:
        return occurred_at if is_plausible(occurred_at) else received_at
    if occurred_at - received_at > max(tolerance, _FASTEST_CLOCK):
        return received_at
    return min(occurred_at, received_at + tolerance)


def is_plausible(time: datetime) -> bool:
    """Whether a provider can have meant this time: no clock that was never set, no field that holds nothing."""
    return time.year >= EARLIEST_YEAR


def received_at(event_id: str) -> datetime:
    """When Valkey stored the event: a stream id begins with the server's time in milliseconds."""
    return _EPOCH + int(event_id.partition("-")[0]) * _MILLISECOND
