"""Departments, whistles, and figures."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from linli import migrate

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _departments()
    _whistles()
    _figures()


def _departments() -> None:
    op.create_table(
        "department",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
        sa.Column("code", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("name_en", sa.String),
        sa.Column("report_minutes", sa.Integer, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_department"),
        sa.UniqueConstraint("district", "code", name="uq_department_code"),
        sa.CheckConstraint("report_minutes > 0", name="ck_department_report_minutes"),
    )
    migrate.placed("department")
    # Which departments a district has is public in it.
    migrate.protect("department", by="district", worker="SELECT", person="SELECT")
    op.create_table(
        "department_member",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
        sa.Column("department", sa.String, nullable=False),
        sa.Column("staff", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_department_member"),
        sa.UniqueConstraint("district", "staff", "department", name="uq_department_member_staff"),
        sa.ForeignKeyConstraint(
            ["district", "department"],
            ["department.district", "department.code"],
            name="fk_department_member_department",
        ),
    )
    op.create_index("ix_department_member_department", "department_member", ["district", "department", "id"])
    migrate.placed("department_member")
    migrate.protect("department_member", by="district", scoped="SELECT, INSERT, DELETE")


def _whistles() -> None:
    op.create_table(
        "whistle",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
        sa.Column("ticket_id", sa.Uuid, nullable=False),
        sa.Column("department", sa.String, nullable=False),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("caller_unit", sa.BigInteger, nullable=False),
        sa.Column("called_by", sa.Uuid, nullable=False),
        sa.Column("note", sa.String),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("called_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("report_minutes", sa.Integer, nullable=False),
        sa.Column("report_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("missed_at", sa.DateTime(timezone=True)),
        sa.Column("reported_at", sa.DateTime(timezone=True)),
        sa.Column("reported_by", sa.Uuid),
        sa.Column("report_took", sa.Integer),
        sa.Column("acted_at", sa.DateTime(timezone=True)),
        sa.Column("acted_by", sa.Uuid),
        sa.Column("act_took", sa.Integer),
        sa.Column("rated_at", sa.DateTime(timezone=True)),
        sa.Column("rated_by", sa.Uuid),
        sa.Column("rating", sa.SmallInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_whistle"),
        sa.ForeignKeyConstraint(["district", "ticket_id"], ["ticket.district", "ticket.id"], name="fk_whistle_ticket"),
        sa.ForeignKeyConstraint(
            ["district", "department"], ["department.district", "department.code"], name="fk_whistle_department"
        ),
        sa.CheckConstraint("state IN ('called', 'reported', 'acted', 'rated')", name="ck_whistle_state"),
        sa.CheckConstraint("weight > 0", name="ck_whistle_weight"),
        sa.CheckConstraint(
            "(state <> 'called') = (reported_at IS NOT NULL) AND (reported_at IS NULL) = (reported_by IS NULL)"
            " AND (reported_at IS NULL) = (report_took IS NULL)",
            name="ck_whistle_reported",
        ),
        sa.CheckConstraint(
            "(state IN ('acted', 'rated')) = (acted_at IS NOT NULL) AND (acted_at IS NULL) = (acted_by IS NULL)"
            " AND (acted_at IS NULL) = (act_took IS NULL)",
            name="ck_whistle_acted",
        ),
        sa.CheckConstraint(
            "(state = 'rated') = (rating IS NOT NULL) AND (rating IS NULL) = (rated_at IS NULL)"
            " AND (rating IS NULL) = (rated_by IS NULL) AND (rating IS NULL OR rating BETWEEN 1 AND 5)",
            name="ck_whistle_rating",
        ),
    )
    op.create_index(
        "uq_whistle_running",
        "whistle",
        ["district", "ticket_id", "department"],
        unique=True,
        postgresql_where="state <> 'rated'",
    )
    op.create_index("ix_whistle_ticket", "whistle", ["district", "ticket_id"])
    op.create_index("ix_whistle_department", "whistle", ["district", "department", "id"])
    op.create_index("ix_whistle_called_at", "whistle", ["district", "called_at"])
    migrate.placed("whistle")
    migrate.protect("whistle", worker="SELECT")


def _figures() -> None:
    # What each finished day came to; never changed, as the trail that it is counted from never is.
    op.create_table(
        "ticket_daily",
        *_whose(),
        sa.Column("day", sa.Date, nullable=False),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("opened", "repeated", "overdue", "closed", "fixed", "reopened", "unclosed")
        ),
        sa.Column("answering", postgresql.ARRAY(sa.Integer), nullable=False),
        sa.Column("solving", postgresql.ARRAY(sa.Integer), nullable=False),
        sa.PrimaryKeyConstraint("district", "day", "unit", "category", "department", "part", name="pk_ticket_daily"),
    )
    migrate.placed("ticket_daily", known=False)
    migrate.protect("ticket_daily", scoped="SELECT, INSERT")
    # How many were open when the last of these days ended.
    op.create_table(
        "ticket_stock",
        *_whose(),
        sa.Column("open", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("district", "unit", "category", "department", "part", name="pk_ticket_stock"),
    )
    migrate.placed("ticket_stock", known=False)
    migrate.protect("ticket_stock")
    op.create_table(
        "figures_until",
        sa.Column("district", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.PrimaryKeyConstraint("district", name="pk_figures_until"),
    )
    migrate.placed("figures_until", known=False)
    migrate.protect("figures_until", by="district")


def _whose() -> list[sa.Column[Any]]:
    return [
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("category", sa.String, nullable=False),
        sa.Column("department", sa.String, nullable=False),
        sa.Column("part", sa.Boolean, nullable=False),
    ]
