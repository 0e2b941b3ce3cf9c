"""Column types that mean the same on SQLite and on PostgreSQL."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Dialect, Numeric, String, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

ExactText = String().with_variant(String(collation="C"), "postgresql")
"""Text that is compared byte by byte, as SQLite does: for keys of news, which must sort alike everywhere."""


class UtcTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC with microseconds."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """PostgreSQL keeps a time with zone, SQLite a text without one."""
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware to UTC."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Back to aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ExactNumber(TypeDecorator[Decimal]):
    """A decimal number kept to the last digit: NUMERIC on PostgreSQL, its digits as text on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """See the class."""
        return dialect.type_descriptor(Numeric() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Decimal to the dialect's form."""
        return value if value is None or dialect.name == "postgresql" else format(value, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Back to Decimal."""
        return None if value is None else Decimal(value)
