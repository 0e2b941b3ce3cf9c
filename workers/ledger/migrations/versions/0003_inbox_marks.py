"""How far the inbox was, and what of it was lost. Only new tables: workers of the releases before work beside those of this one."""

import sqlalchemy as sa
from alembic import op

from workers.ledger.columns import UtcTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "inbox_marks",
        sa.Column("epoch", sa.String(), nullable=False),
        sa.Column("last_id", sa.String(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("unfinished", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("oldest_at", UtcTime),
        sa.Column("marked_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_inbox_marks")),
    )
    op.create_table(
        "inbox_losses",
        sa.Column("loss_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("from_at", UtcTime, nullable=False),
        sa.Column("until_at", UtcTime, nullable=False),
        sa.Column("found_at", UtcTime, nullable=False),
        sa.Column("confirmed_at", UtcTime),
        sa.Column("confirmed_by", sa.String()),
        sa.Column("note", sa.Text()),
        sa.PrimaryKeyConstraint("loss_id", name=op.f("pk_inbox_losses")),
    )
