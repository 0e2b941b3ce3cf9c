"""Fields that nothing depends on: any value decodes, so that none fails an event, and yet the documented type is on record.

From it come the published documents (`schemas.documents`) and the drift alarm (`schemas.drift`).
"""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from msgspec import Meta, inspect

T = TypeVar("T")

_DOCUMENTED = "documented"

if TYPE_CHECKING:
    Lenient: TypeAlias = T | Any
else:

    class Lenient:
        """`Lenient[str]`: documented as a string, decoded as whatever comes."""

        def __class_getitem__(cls, documented: Any) -> Any:
            return Annotated[Any, Meta(extra={_DOCUMENTED: documented})]


def documented(field: inspect.Metadata) -> inspect.Type | None:
    """The documented type of a lenient field; None of any other annotated type."""
    extra = field.extra or {}
    return inspect.type_info(extra[_DOCUMENTED]) if _DOCUMENTED in extra else None
