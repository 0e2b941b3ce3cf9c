"""Item lists, withdrawn refunds and replacements, and the time that orders an event; rows of the future are mended.

Only new tables and new columns that may be NULL: workers of the release before work beside those of this one.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from workers.ledger.columns import ExactText, UtcTime
from workers.ledger.migrations.future_times import mend_future_times

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, add the columns, and mend what was stored under times of the future."""
    op.create_table(
        "item_lists",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("effect", sa.String(), nullable=False),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("occurred_at", UtcTime, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("news", ExactText, nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "order_id", "effect", "identity", name=op.f("pk_item_lists")),
    )
    op.add_column("order_events", sa.Column("ordered_at", UtcTime))
    op.add_column("order_events", sa.Column("has_time", sa.Boolean()))
    for table in ("refunds", "replacements"):
        op.add_column(table, sa.Column("withdrawn_by", sa.String()))
        op.add_column(table, sa.Column("withdrawn_at", UtcTime))
    mend_future_times(op.get_bind(), datetime.now(UTC))
