"""What Afosto sends in `data` of a delivery: the whole delivery as it was at that moment, all fields that the documentation names.

Which of them are lists is read off the published examples (`parcels`, `items`) and the documentation's own indices (`i18n`, `openings`, `windows`,
`links`), and else not stated. So everything below `data` is lenient: documented, and decoded as it comes.
"""

from typing import Any

from msgspec import Struct, field

from schemas.parsing.lenient import Lenient
from schemas.providers.afosto.people import Customer, PhoneNumber


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


class DeliveryData(Struct, gc=False):
    """A delivery."""

    id: Lenient[str] = None
    expected_at: Lenient[str] = None
    method: Lenient[DeliveryMethod] = None
    provider_option: Lenient[ProviderOption] = None
    sender: Lenient[Place] = field(default=None, name="from")
    recipient: Lenient[Place] = field(default=None, name="to")
    parcels: Lenient[list[Parcel]] = None
