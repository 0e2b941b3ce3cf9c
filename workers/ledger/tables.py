"""The ledger's tables. Their unique keys are what makes an effect happen once, however often it is applied.

`occurred_at` is the provider's time, `received_at` ours. A column that ends in `_news` holds the key of the news that last set its
group of columns (see `workers.ledger.event_order`): older news never overwrites newer. `event_id` is the inbox id of the event.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text, text

from workers.ledger.columns import ExactNumber, ExactText, UtcTime

metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"})


def _key(name: str) -> "Column[str]":
    return Column(name, String, primary_key=True)


def _order_key() -> "tuple[Column[str], Column[str]]":
    """The provider, and the order's own id there."""
    return _key("provider"), _key("order_id")


def _event() -> "tuple[Column[Any], ...]":
    """Which event said it, and when."""
    return (
        Column("event_id", String, nullable=False),
        Column("occurred_at", UtcTime, nullable=False),
        Column("received_at", UtcTime, nullable=False),
    )


orders = Table(
    "orders",
    metadata,
    *_order_key(),
    Column("number", String),
    Column("number_news", ExactText),
    Column("fulfillment_type", String),
    Column("fulfillment_type_news", ExactText),
    Column("status", String),
    Column("status_at", UtcTime),
    Column("status_news", ExactText),
    Column("expected_at", UtcTime),
    Column("expected_news", ExactText),
    Column("promised_at", UtcTime),
    Column("promised_news", ExactText),
    Column("first_event_at", UtcTime),
    Column("last_event_at", UtcTime),
)
"""One row an order. `expected_at`: when the newest estimate expects it. `promised_at`: what was promised when it was created or
rescheduled, against which lateness is measured. A row without status is one that only other handlers know so far."""

order_events = Table(
    "order_events",
    metadata,
    *_order_key(),
    _key("identity"),
    *_event(),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("status", String),
    Column("expected_at", UtcTime),
    Column("provider_event_id", String),
)
"""The order's history: one line an event, under the provider's own name for it. `expected_at`: the estimate it gave."""

replacements = Table(
    "replacements",
    metadata,
    *_order_key(),
    _key("line"),
    _key("substitute"),
    *_event(),
    Column("first_news", ExactText, nullable=False),
    Column("last_news", ExactText, nullable=False),
    Column("product", String),
    Column("product_name", String),
    Column("quantity", ExactNumber),
    Column("unit", String),
    Column("substitute_name", String),
    Column("substitute_quantity", ExactNumber),
    Column("superseded_by", String),
)
"""One row an order, line and substitute; what first said so. `superseded_by`: the substitute that took its place, if any."""

refunds = Table(
    "refunds",
    metadata,
    *_order_key(),
    _key("line"),
    *_event(),
    Column("first_news", ExactText, nullable=False),
    Column("product", String),
    Column("product_name", String),
    Column("quantity", ExactNumber),
    Column("unit", String),
)
"""One row an order and line: what first said so."""

late_deliveries = Table(
    "late_deliveries",
    metadata,
    *_order_key(),
    *_event(),
    Column("news", ExactText, nullable=False),
    Column("old_window_starts_at", UtcTime),
    Column("old_window_ends_at", UtcTime),
    Column("new_window_starts_at", UtcTime),
    Column("new_window_ends_at", UtcTime),
    Column("promised_at", UtcTime),
    Column("expected_at", UtcTime),
    Column("minutes_late", BigInteger),
)
"""One row an order: the newest lateness. `promised_at`: what was promised when it was said, not what was promised since.
`minutes_late` is from there to `expected_at`; NULL while either is unknown."""

customer_mia_alerts = Table(
    "customer_mia_alerts",
    metadata,
    *_order_key(),
    _key("identity"),
    *_event(),
    Column("first_reported_at", UtcTime, nullable=False),
    Column("last_reported_at", UtcTime, nullable=False),
    Column("closed_at", UtcTime),
    Column("closed_by", String),
)
"""Alerts by the event that opened them, with the earliest and latest report, by the provider's time, that they stand for.
`closed_by`: the event that closed it (delivered, canceled). At most one of an order is open."""

Index(
    "uq_customer_mia_alerts_open",
    customer_mia_alerts.c.provider,
    customer_mia_alerts.c.order_id,
    unique=True,
    sqlite_where=text("closed_at IS NULL"),
    postgresql_where=text("closed_at IS NULL"),
)

outbox = Table(
    "outbox",
    metadata,
    _key("idempotency_key"),
    _key("channel"),
    Column("topic", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("leased_until", UtcTime),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("sent_at", UtcTime),
    Column("dropped", Boolean, nullable=False, server_default=text("false")),
    Column("last_error", String),
)
"""Alerts to be sent, one row a channel, written in the transaction of the effect they tell of."""

Index("ix_outbox_waiting", outbox.c.due_at, sqlite_where=text("sent_at IS NULL"), postgresql_where=text("sent_at IS NULL"))
