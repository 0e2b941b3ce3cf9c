"""What Afosto sends in `data` of an order: the whole order as it was at that moment, all fields that the documentation names.

Which of them are lists is read off the published examples (`items`), and else not stated. So everything below `data` is lenient: documented, and
decoded as it comes.
"""

from typing import Any

from msgspec import Struct

from schemas.parsing.lenient import Lenient
from schemas.providers.afosto.people import Customer, PhoneNumber


class Inventory(Struct, gc=False):
    """How an item's stock is worked on."""

    position: Lenient[str | int] = None
    is_deducted: Lenient[bool] = None
    progress: Lenient[str] = None


class ItemDetails(Struct, gc=False):
    """More of an item."""

    inventory: Lenient[Inventory] = None


class OrderItem(Struct, gc=False):
    """A line of an order."""

    sku: Lenient[str] = None
    gtin: Lenient[str] = None
    label: Lenient[str] = None
    quantity: Lenient[float] = None
    details: Lenient[ItemDetails | list[ItemDetails]] = None
    """Not stated which."""


class OrderAddress(Struct, gc=False):
    """Where an order goes. Personal data."""

    given_name: Lenient[str] = None
    additional_name: Lenient[str] = None
    family_name: Lenient[str] = None
    organisation: Lenient[str] = None
    address_line_1: Lenient[str] = None
    address_line_2: Lenient[str] = None
    postal_code: Lenient[str] = None
    locality: Lenient[str] = None
    country_code: Lenient[str] = None


class OrderMethod(Struct, gc=False):
    """The way of delivery that was chosen."""

    name: Lenient[str] = None
    id: Lenient[str] = None


class OrderDelivery(Struct, gc=False):
    """How and where an order is to be delivered."""

    method: Lenient[OrderMethod] = None
    address: Lenient[OrderAddress] = None


class OrderData(Struct, gc=False):
    """An order."""

    id: Lenient[str] = None
    number: Lenient[str | int] = None
    progress: Lenient[str] = None
    items: Lenient[list[OrderItem]] = None
    meta_data: Lenient[dict[str, Any]] = None
    delivery: Lenient[OrderDelivery] = None
    customer: Lenient[Customer] = None
    phone_number: Lenient[PhoneNumber] = None
