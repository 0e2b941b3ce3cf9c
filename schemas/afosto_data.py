"""What Afosto sends in `data`: the whole order or delivery as it was at that moment, all fields that the documentation names.

Which of them are lists is read off the two published examples (`items`, `parcels`) and the documentation's own indices (`i18n`,
`openings`, `windows`, `links`), and else not stated. So everything below `data` is lenient: documented, and decoded as it comes.
"""

from typing import Any

from msgspec import Struct, field

from schemas.lenient import Lenient


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


class Contact(Struct, gc=False):
    """How a customer is named and reached. Personal data."""

    email: Lenient[str] = None
    given_name: Lenient[str] = None
    additional_name: Lenient[str] = None
    family_name: Lenient[str] = None


class Customer(Struct, gc=False):
    """Who ordered. Personal data."""

    notes: Lenient[str] = None
    reference: Lenient[str] = None
    contact: Lenient[Contact] = None


class PhoneNumber(Struct, gc=False):
    """Personal data."""

    number: Lenient[str] = None


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


class Translation(Struct, gc=False):
    """The texts of a method in another language."""

    locale: Lenient[str] = None
    name: Lenient[str] = None
    description: Lenient[str] = None
    instruction: Lenient[str] = None


class DeliveryMethod(Struct, gc=False):
    """How a delivery comes."""

    name: Lenient[str] = None
    description: Lenient[str] = None
    instruction: Lenient[str] = None
    delivery_during: Lenient[str] = None
    is_pickup_point: Lenient[bool] = None
    is_id_check: Lenient[bool] = None
    is_neighbour_allowed: Lenient[bool] = None
    i18n: Lenient[list[Translation]] = None


class ProviderOption(Struct, gc=False):
    """The carrier's product."""

    name: Lenient[str] = None
    carrier: Lenient[str] = None
    description: Lenient[str] = None


class Address(Struct, gc=False):
    """Where a delivery comes from or goes to. Personal data."""

    address_line_1: Lenient[str] = None
    address_line_2: Lenient[str] = None
    country_code: Lenient[str] = None
    locality: Lenient[str] = None
    postal_code: Lenient[str] = None
    thoroughfare: Lenient[str] = None
    premise_number: Lenient[str] = None
    premise_number_suffix: Lenient[str] = None


class OpeningWindow(Struct, gc=False):
    """From when to when."""

    start: Lenient[str] = None
    end: Lenient[str] = None


class Opening(Struct, gc=False):
    """When a pickup point is open on a day of the week."""

    day_of_week: Lenient[str | int] = None
    windows: Lenient[list[OpeningWindow]] = None


class PickupPoint(Struct, gc=False):
    """Where a customer fetches a parcel."""

    name: Lenient[str] = None
    carrier: Lenient[str] = None
    address: Lenient[Address] = None
    openings: Lenient[list[Opening]] = None


class Place(Struct, gc=False):
    """One end of a delivery."""

    address: Lenient[Address] = None
    pickup_point: Lenient[PickupPoint] = None


class TrackTrace(Struct, gc=False):
    """Where a parcel can be followed."""

    number: Lenient[str] = None
    url: Lenient[str] = None


class Link(Struct, gc=False):
    """A place of a channel in the web."""

    type: Lenient[str] = None
    value: Lenient[str] = None


class Addressing(Struct, gc=False):
    """Where a business can be visited."""

    visiting: Lenient[Address] = None


class Business(Struct, gc=False):
    """Who sells."""

    name: Lenient[str] = None
    addressing: Lenient[Addressing] = None
    phone_number: Lenient[PhoneNumber] = None


class Sender(Struct, gc=False):
    """Who a channel writes as."""

    email: Lenient[str] = None


class Messaging(Struct, gc=False):
    """How a channel writes to customers."""

    sender: Lenient[Sender] = field(default=None, name="from")


class Channel(Struct, gc=False):
    """Where the order came from."""

    id: Lenient[str] = None
    name: Lenient[str] = None
    logo: Lenient[str] = None
    locale: Lenient[str] = None
    links: Lenient[list[Link]] = None
    business: Lenient[Business] = None
    messaging: Lenient[Messaging] = None


class ParcelOrder(Struct, gc=False):
    """The order that an item in a parcel belongs to: the one place where a delivery names its orders."""

    id: Lenient[str] = None
    number: Lenient[str | int] = None
    metadata: Lenient[dict[str, Any]] = None
    channel: Lenient[Channel] = None
    customer: Lenient[Customer] = None


class ParcelItem(Struct, gc=False):
    """A thing in a parcel."""

    sku: Lenient[str] = None
    gtin: Lenient[str] = None
    label: Lenient[str] = None
    image: Lenient[str] = None
    url: Lenient[str] = None
    meta_data: Lenient[dict[str, Any]] = None
    order: Lenient[ParcelOrder] = None


class Parcel(Struct, gc=False):
    """A parcel of a delivery."""

    id: Lenient[str] = None
    status: Lenient[str] = None
    track_trace: Lenient[TrackTrace] = None
    items: Lenient[list[ParcelItem]] = None


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


class DeliveryData(Struct, gc=False):
    """A delivery."""

    id: Lenient[str] = None
    expected_at: Lenient[str] = None
    method: Lenient[DeliveryMethod] = None
    provider_option: Lenient[ProviderOption] = None
    sender: Lenient[Place] = field(default=None, name="from")
    recipient: Lenient[Place] = field(default=None, name="to")
    parcels: Lenient[list[Parcel]] = None
