"""The people that Afosto names in orders and deliveries. All of it is personal data."""

from msgspec import Struct

from schemas.parsing.lenient import Lenient


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
