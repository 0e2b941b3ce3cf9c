"""Every message that the providers document: its name on the wire, its kind, and its wire model.

The known names, the published documents (`curbside schema`) and a test of every row come from this table. Instacart's
documentation lists 28 callbacks by title. The exact names of those in `NOT_PUBLISHED` are not public, and the list grows: an
event whose name is not in the table is kept under its own name as unrecognised.
"""

from typing import NamedTuple

from schemas.events import Kind, Provider


class Message(NamedTuple):
    """One message. `aliases` are other names for it; `title` is the provider's own."""

    provider: Provider
    name: str
    kind: Kind
    title: str
    summary: str
    aliases: tuple[str, ...] = ()


_PREFIX = "fulfillment."


def _callback(kind: Kind, title: str, summary: str, *aliases: str) -> Message:
    """An Instacart callback. The provider's sandbox sends names without the prefix."""
    others = tuple(form for alias in aliases for form in (_PREFIX + alias, alias))
    return Message(Provider.INSTACART, _PREFIX + kind.value, kind, title, summary, (kind.value, *others))


def _webhook(kind: Kind, title: str, summary: str) -> Message:
    """An Afosto webhook."""
    return Message(Provider.AFOSTO, kind.name, kind, title, summary)


MESSAGES = (
    _callback(Kind.ORDER_CREATED, "Brand new", "The order exists.", "brand_new"),
    _callback(Kind.ACKNOWLEDGED, "Acknowledged", "A shopper accepted the order."),
    _callback(Kind.PICKING, "Picking", "Picking has begun in the store."),
    _callback(Kind.STAGING, "Staged", "The order is being staged for delivery or pickup.", "staged"),
    _callback(Kind.DELIVERING, "Delivering", "The order has left the store."),
    _callback(Kind.DELIVERED, "Delivered", "The order was delivered."),
    _callback(Kind.CANCELED, "Canceled", "The order was canceled."),
    _callback(Kind.RESCHEDULED, "Rescheduled", "The order comes at another time than planned."),
    _callback(Kind.LATE_DELIVERY, "Late delivery", "The estimate moved later than planned."),
    _callback(
        Kind.ORDER_ITEM_REPLACEMENT,
        "Order item replacement",
        "An item was replaced. The full item list; look for what was replaced.",
    ),
    _callback(Kind.ORDER_ITEM_REFUND, "Order item refund", "An item was refunded. The full item list; look for `refunded`."),
    _callback(Kind.CUSTOMER_MIA, "Customer missing", "The driver is there, the customer cannot be found.", "customer_missing"),
    _webhook(Kind.ORDER_OPENED, "Order opened", "A new order."),
    _webhook(Kind.ORDER_UPDATED, "Order updated", "Status, items or address of an order changed."),
    _webhook(Kind.ORDER_CLOSED, "Order closed", "An order was closed."),
    _webhook(Kind.IN_TRANSIT, "In transit", "A parcel is on its way."),
    Message(Provider.AFOSTO, "DELIVERED", Kind.DELIVERED, "Delivered", "A parcel was delivered."),
)

NOT_PUBLISHED = (
    "Checkout", "Order location", "Customer acknowledged", "Pickup runner started", "Unable to find customer", "Runner not found",
    "Pickup geofence reached", "Late pickup", "Tip adjustment", "At store", "Acknowledged for delivery", "Bags verified",
    "Arrival at customer", "At store ETA", "Rating updated", "Rating reminder",
)  # fmt: skip
"""Titles of Instacart callbacks whose names are not public. They are read like any other callback."""


def kinds_of(provider: Provider) -> dict[str, Kind]:
    """Every known event name of a provider, aliases included, with its kind."""
    return {name: each.kind for each in MESSAGES if each.provider is provider for name in (each.name, *each.aliases)}
