"""Column types that behave the same on SQLite and on PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Dialect, Numeric, String, Text, TypeDecorator
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

ExactText = String().with_variant(String(collation="C"), "postgresql")
"""Text that is compared byte by byte, as SQLite does. Ordering keys use it: they must sort the same on both databases."""

_UTC_CHARS = len("2026-01-02 03:04:05.000000")


class _SqliteUtc(sqlite.DATETIME):
    """UTC as text of a fixed length, which sorts by time."""

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """Convert an aware time to text."""

        def to_text(value: datetime | None) -> str | None:
            if value is None:
                return None
            return (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat(" ", "microseconds")[:_UTC_CHARS]

        return to_text

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """Convert text to an aware time."""

        def to_time(value: str | None) -> datetime | None:
            return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)

        return to_time


class UtcTime(TypeDecorator[datetime]):
    """An aware time, stored in UTC with microseconds: TIMESTAMP WITH TIME ZONE on PostgreSQL, text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The dialect's type. PostgreSQL needs no conversion: its sessions are in UTC."""
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else _SqliteUtc())  # type: ignore[no-untyped-call]


class ExactNumber(TypeDecorator[Decimal]):
    """A decimal number stored with every digit: NUMERIC on PostgreSQL, its digits as text on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The dialect's type."""
        return dialect.type_descriptor(Numeric() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Convert a Decimal to what the dialect stores."""
        return value if value is None or dialect.name == "postgresql" else format(value, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Convert what the dialect stores to a Decimal."""
        return None if value is None else Decimal(value)
