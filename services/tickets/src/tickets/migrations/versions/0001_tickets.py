"""Tickets, their trail, and who may be given one."""

import sqlalchemy as sa
from alembic import op

from linli import migrate

revision = "0001"
down_revision = None


def upgrade() -> None:
    migrate.chassis(known_units=True)
    op.create_table(
        "ticket",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("description", sa.String, nullable=False),
        sa.Column("category", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("reporter", sa.Uuid, nullable=False),
        sa.Column("assignee", sa.Uuid),
        sa.Column("resolved_by", sa.Uuid),
        sa.Column("rating", sa.SmallInteger),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_ticket"),
        sa.CheckConstraint("state IN ('open', 'assigned', 'resolved', 'closed')", name="ck_ticket_state"),
        sa.CheckConstraint("(state = 'open') = (assignee IS NULL)", name="ck_ticket_assignee"),
        sa.CheckConstraint(
            "(state IN ('resolved', 'closed')) = (resolved_at IS NOT NULL)"
            " AND (resolved_at IS NULL) = (resolved_by IS NULL)",
            name="ck_ticket_resolved",
        ),
        sa.CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name="ck_ticket_closed"),
        sa.CheckConstraint("rating IS NULL OR rating BETWEEN 1 AND 5 AND state = 'closed'", name="ck_ticket_rating"),
    )
    op.create_index("ix_ticket_unit", "ticket", ["unit", "id"])
    op.create_index("ix_ticket_unit_grid", "ticket", ["unit_grid", "id"])
    op.create_index("ix_ticket_reporter", "ticket", ["reporter", "id"])
    op.create_index("ix_ticket_assignee", "ticket", ["assignee", "id"])
    migrate.placed("ticket")
    migrate.protect(
        "ticket",
        worker="SELECT, INSERT, UPDATE",
        person="SELECT, INSERT, UPDATE (state, closed_at, rating, version)",
        person_column="reporter",
    )
    op.create_table(
        "ticket_entry",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
        sa.Column("ticket_id", sa.Uuid, nullable=False),
        sa.Column("reporter", sa.Uuid, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("move", sa.String, nullable=False),
        sa.Column("actor", sa.Uuid, nullable=False),
        sa.Column("note", sa.String),
        sa.Column("trace_id", sa.String),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_ticket_entry"),
        sa.ForeignKeyConstraint(
            ["district", "ticket_id"], ["ticket.district", "ticket.id"], name="fk_ticket_entry_ticket"
        ),
        sa.UniqueConstraint("district", "ticket_id", "sequence", name="uq_ticket_entry_sequence"),
    )
    migrate.placed("ticket_entry")
    # The trail is only ever added to.
    migrate.protect(
        "ticket_entry",
        scoped="SELECT, INSERT",
        worker="SELECT, INSERT",
        person="SELECT, INSERT",
        person_column="reporter",
    )
    op.create_table(
        "known_assignment",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("staff", sa.Uuid, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_known_assignment"),
    )
    op.create_index("ix_known_assignment_staff", "known_assignment", ["district", "staff"])
    migrate.placed("known_assignment", known=False)
    migrate.protect("known_assignment")
