"""People's inboxes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from linli import migrate

revision = "0001"
down_revision = None


def upgrade() -> None:
    migrate.chassis(known_units=False)
    op.create_table(
        "notification",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
        sa.Column("recipient", sa.Uuid, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("subject", sa.Uuid, nullable=False),
        sa.Column("params", postgresql.JSONB, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("trace_id", sa.String),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True)),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_notification"),
        sa.UniqueConstraint("district", "event_id", "recipient", name="uq_notification_event"),
    )
    op.create_index("ix_notification_recipient", "notification", ["recipient", "id"])
    op.create_index(
        "ix_notification_unread", "notification", ["recipient", "id"], postgresql_where=sa.text("read_at IS NULL")
    )
    op.create_index("ix_notification_subject", "notification", ["subject", "id"])
    # What is told of happened in a unit that its publisher knew; this service asks nothing more of units.
    migrate.placed("notification", known=False)
    migrate.protect(
        "notification",
        scoped="SELECT, INSERT",
        person="SELECT, UPDATE (read_at, version)",
        person_column="recipient",
    )
