"""The ledger's tables. Their primary keys make every effect happen once, however often it is applied.

`occurred_at` is the provider's time as sent; `received_at` is the time of receipt. `event_id` is the inbox id of the event. A
column that ends in `news` holds the ordering key (see `workers.ledger.event_order`) of the event that last set its group of
columns: an older event never overwrites a newer one.

Nothing is ordered or compared by `occurred_at`: a provider's clock may be wrong. `order_events.ordered_at`, the ordering keys,
`orders.first_event_at` and `last_event_at`, and the times of reports and ends in `customer_mia_alerts` are bounded: no later
than receipt and `CLOCK_TOLERANCE`, and the time of receipt where the body names no time that can be meant.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text, text

from workers.ledger.columns import ExactNumber, ExactText, UtcTime

metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"})


def _key(name: str) -> "Column[str]":
    return Column(name, String, primary_key=True)


def _order_key() -> "tuple[Column[str], Column[str]]":
    """The provider, and its id of the order."""
    return _key("provider"), _key("order_id")


def _event() -> "tuple[Column[Any], ...]":
    """The event that a row comes from, and its times."""
    return (
        Column("event_id", String, nullable=False),
        Column("occurred_at", UtcTime, nullable=False),
        Column("received_at", UtcTime, nullable=False),
    )


def _withdrawal() -> "tuple[Column[Any], ...]":
    """The event whose newer list takes the effect back, and its time. NULL while the effect stands."""
    return (Column("withdrawn_by", String), Column("withdrawn_at", UtcTime))


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
"""One row for each order. `expected_at`: the newest estimate. `promised_at`: the estimate when the order was created, opened or
rescheduled; lateness is measured against it. `status` is NULL while no event with a status has been applied. `status_at`: the
time of its event as sent. Estimates of year 1 or 9999 are kept in `order_events` only."""

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
    Column("ordered_at", UtcTime),
    Column("has_time", Boolean),
)
"""The order's history: one row for each event. `name`: the provider's event name. `expected_at`: the event's estimate.
`ordered_at`: the time that decides which event is newer; NULL if that is `occurred_at`. `has_time`: whether the body names a time;
if not, `occurred_at` is the time of receipt. It is NULL in rows of release 0.1.
"""

item_lists = Table(
    "item_lists",
    metadata,
    *_order_key(),
    _key("effect"),
    _key("identity"),
    *_event(),
    Column("news", ExactText, nullable=False),
    Column("lines", Text, nullable=False),
)
"""The item list of each item event, one row for each effect that is read from it. `lines` is JSON. The rows of `refunds` and
`replacements` are worked out from all lists of an order, so that the order of lists, lines and arrival does not count.
"""

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
    *_withdrawal(),
)
"""One row for each order, line and substitute, from the first event that lists it. `superseded_by`: the newer substitute.
`withdrawn_by`: the event since which the line is listed as not replaced."""

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
    *_withdrawal(),
)
"""One row for each order and line, from the first event that lists the refund. `withdrawn_by`: the event since which the line is
listed as not refunded."""

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
"""One row for each order: the newest lateness. `promised_at`: the promise at the time of the event, not a later one.
`minutes_late`: from `promised_at` to `expected_at`; NULL while either is unknown."""

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
"""One row for each alert, by the event that opened it, with its earliest and latest report. `closed_by`: the
event that closed it (delivered, canceled). An order has at most one open alert."""

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
"""Alerts to be sent: one row for each alert and channel, written in the same transaction as the effect. `dropped`: it will not be
sent, and `last_error` says why. If it was too old when it was handled (`ALERT_MAX_AGE`), `attempts` is 0."""

Index("ix_outbox_waiting", outbox.c.due_at, sqlite_where=text("sent_at IS NULL"), postgresql_where=text("sent_at IS NULL"))

inbox_marks = Table(
    "inbox_marks",
    metadata,
    _key("epoch"),
    Column("last_id", String, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("unfinished", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("oldest_at", UtcTime),
    Column("marked_at", UtcTime, nullable=False),
)
"""One row: how far the inbox was when it was last looked at. `epoch`: which Valkey it was (`schemas.keys.EPOCH`). `added`: events
ever appended. `unfinished`: those without an outcome. `failures`: those on record. `oldest_at`: since when the oldest unfinished
one waited."""

inbox_losses = Table(
    "inbox_losses",
    metadata,
    _key("loss_id"),
    Column("kind", String, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("from_at", UtcTime, nullable=False),
    Column("until_at", UtcTime, nullable=False),
    Column("found_at", UtcTime, nullable=False),
    Column("confirmed_at", UtcTime),
    Column("confirmed_by", String),
    Column("note", Text),
)
"""Losses of acknowledged events, one row each: see `workers.monitoring.inbox_losses`."""
