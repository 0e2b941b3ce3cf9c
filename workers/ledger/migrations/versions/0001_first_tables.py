"""The first tables."""

import sqlalchemy as sa
from alembic import op

from workers.ledger.columns import ExactNumber, ExactText, UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _effects()
    _timeline()
    _outbox()


def _effects() -> None:
    op.create_table(
        "customer_mia_alerts",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("occurred_at", UtcTime, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("first_reported_at", UtcTime, nullable=False),
        sa.Column("last_reported_at", UtcTime, nullable=False),
        sa.Column("closed_at", UtcTime),
        sa.Column("closed_by", sa.String()),
        sa.PrimaryKeyConstraint("provider", "order_id", "identity", name=op.f("pk_customer_mia_alerts")),
    )
    op.create_index(
        "uq_customer_mia_alerts_open",
        "customer_mia_alerts",
        ["provider", "order_id"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "late_deliveries",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("occurred_at", UtcTime, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("news", ExactText, nullable=False),
        sa.Column("old_window_starts_at", UtcTime),
        sa.Column("old_window_ends_at", UtcTime),
        sa.Column("new_window_starts_at", UtcTime),
        sa.Column("new_window_ends_at", UtcTime),
        sa.Column("promised_at", UtcTime),
        sa.Column("expected_at", UtcTime),
        sa.Column("minutes_late", sa.BigInteger()),
        sa.PrimaryKeyConstraint("provider", "order_id", name=op.f("pk_late_deliveries")),
    )
    op.create_table(
        "refunds",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("occurred_at", UtcTime, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("first_news", ExactText, nullable=False),
        sa.Column("product", sa.String()),
        sa.Column("product_name", sa.String()),
        sa.Column("quantity", ExactNumber),
        sa.Column("unit", sa.String()),
        sa.PrimaryKeyConstraint("provider", "order_id", "line", name=op.f("pk_refunds")),
    )
    op.create_table(
        "replacements",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("substitute", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("occurred_at", UtcTime, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("first_news", ExactText, nullable=False),
        sa.Column("last_news", ExactText, nullable=False),
        sa.Column("product", sa.String()),
        sa.Column("product_name", sa.String()),
        sa.Column("quantity", ExactNumber),
        sa.Column("unit", sa.String()),
        sa.Column("substitute_name", sa.String()),
        sa.Column("substitute_quantity", ExactNumber),
        sa.Column("superseded_by", sa.String()),
        sa.PrimaryKeyConstraint("provider", "order_id", "line", "substitute", name=op.f("pk_replacements")),
    )


def _timeline() -> None:
    op.create_table(
        "order_events",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("occurred_at", UtcTime, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("status", sa.String()),
        sa.Column("expected_at", UtcTime),
        sa.Column("provider_event_id", sa.String()),
        sa.PrimaryKeyConstraint("provider", "order_id", "identity", name=op.f("pk_order_events")),
    )
    op.create_table(
        "orders",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("number", sa.String()),
        sa.Column("number_news", ExactText),
        sa.Column("fulfillment_type", sa.String()),
        sa.Column("fulfillment_type_news", ExactText),
        sa.Column("status", sa.String()),
        sa.Column("status_at", UtcTime),
        sa.Column("status_news", ExactText),
        sa.Column("expected_at", UtcTime),
        sa.Column("expected_news", ExactText),
        sa.Column("promised_at", UtcTime),
        sa.Column("promised_news", ExactText),
        sa.Column("first_event_at", UtcTime),
        sa.Column("last_event_at", UtcTime),
        sa.PrimaryKeyConstraint("provider", "order_id", name=op.f("pk_orders")),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("due_at", UtcTime, nullable=False),
        sa.Column("leased_until", UtcTime),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sent_at", UtcTime),
        sa.Column("dropped", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("last_error", sa.String()),
        sa.PrimaryKeyConstraint("idempotency_key", "channel", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
