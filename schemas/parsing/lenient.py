"""Types for fields that nothing depends on: no value fails an event, and the documented type is still declared.

A `Lenient` field is decoded as whatever arrives. A `Straight` field is decoded as its type only; what a decoder refuses there
is brought into form first (`schemas.parsing.structure`). An `Unread` field is skipped, so it may even hold what cannot be decoded:
bytes that are no UTF-8, an integer of a thousand digits. The published documents (`deploy.documents`) and drift detection
(`schemas.drift`) use the documented types.
"""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from msgspec import Meta, Raw, inspect

T = TypeVar("T")

_DOCUMENTED = "documented"

if TYPE_CHECKING:
    Lenient: TypeAlias = T | Any
    Straight: TypeAlias = T | None
    Unread: TypeAlias = T | Raw
else:

    class Lenient:
        """`Lenient[str]`: documented as a string, decoded as whatever comes."""

        def __class_getitem__(cls, documented: Any) -> Any:
            return Annotated[Any, Meta(extra={_DOCUMENTED: documented})]

    class Straight:
        """`Straight[list[Item]]`: documented as a list of items, decoded as that or null."""

        def __class_getitem__(cls, documented: Any) -> Any:
            return Annotated[documented | None, Meta(extra={_DOCUMENTED: documented})]

    class Unread:
        """`Unread[str]`: documented as a string, kept as the bytes that came."""

        def __class_getitem__(cls, documented: Any) -> Any:
            return Annotated[Raw, Meta(extra={_DOCUMENTED: documented})]


ABSENT = Raw()
"""The default of an unread field."""


def documented(field: inspect.Metadata) -> inspect.Type | None:
    """The documented type of a lenient, straight or unread field; None of any other annotated type."""
    extra = field.extra or {}
    return inspect.type_info(extra[_DOCUMENTED]) if _DOCUMENTED in extra else None
