"""Fields that nothing depends on: what comes in them fails no event, and yet the documented type is on record.

`Lenient` is read where it holds what it should. `Unread` is passed over, so that it may hold even what cannot be decoded at all: bytes that
are no UTF-8, an integer of a thousand digits. From the documented types come the documents (`deploy.documents`) and the drift alarm
(`schemas.drift`).
"""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from msgspec import Meta, Raw, inspect

T = TypeVar("T")

_DOCUMENTED = "documented"

if TYPE_CHECKING:
    Lenient: TypeAlias = T | Any
    Unread: TypeAlias = T | Raw
else:

    class Lenient:
        """`Lenient[str]`: documented as a string, decoded as whatever comes."""

        def __class_getitem__(cls, documented: Any) -> Any:
            return Annotated[Any, Meta(extra={_DOCUMENTED: documented})]

    class Unread:
        """`Unread[str]`: documented as a string, kept as the bytes that came."""

        def __class_getitem__(cls, documented: Any) -> Any:
            return Annotated[Raw, Meta(extra={_DOCUMENTED: documented})]


ABSENT = Raw()
"""The default of an unread field."""


def documented(field: inspect.Metadata) -> inspect.Type | None:
    """The documented type of a lenient or unread field; None of any other annotated type."""
    extra = field.extra or {}
    return inspect.type_info(extra[_DOCUMENTED]) if _DOCUMENTED in extra else None
