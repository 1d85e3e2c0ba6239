"""Centres, their sessions, and who has a seat."""

import sqlalchemy as sa
from alembic import op

from linli import migrate

revision = "0001"
down_revision = None


def _placed() -> list[sa.Column[int]]:
    return [
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
    ]


def upgrade() -> None:
    migrate.chassis(known_units=True)
    op.create_table(
        "centre",
        *_placed(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_centre"),
    )
    op.create_index("ix_centre_unit", "centre", ["unit"])
    migrate.placed("centre")
    migrate.protect("centre", worker="SELECT", person="SELECT")
    op.create_table(
        "session",
        *_placed(),
        sa.Column("centre_id", sa.Uuid, nullable=False),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seats", sa.BigInteger, nullable=False),
        sa.Column("booked", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_session"),
        sa.ForeignKeyConstraint(["district", "centre_id"], ["centre.district", "centre.id"], name="fk_session_centre"),
        sa.CheckConstraint("booked BETWEEN 0 AND seats", name="ck_session_booked"),
        sa.CheckConstraint("ends_at > starts_at", name="ck_session_times"),
    )
    op.create_index("ix_session_unit", "session", ["unit"])
    op.create_index("ix_session_starts_at", "session", ["starts_at", "id"])
    op.create_index("ix_session_centre_id", "session", ["centre_id", "starts_at", "id"])
    migrate.placed("session")
    # Who books changes how many seats are taken, and nothing else.
    migrate.protect("session", worker="SELECT", person="SELECT, UPDATE (booked)")
    op.create_table(
        "booking",
        *_placed(),
        sa.Column("session_id", sa.Uuid, nullable=False),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True)),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_booking"),
        sa.ForeignKeyConstraint(
            ["district", "session_id"], ["session.district", "session.id"], name="fk_booking_session"
        ),
        sa.CheckConstraint("state IN ('booked', 'cancelled')", name="ck_booking_state"),
        sa.CheckConstraint("(state = 'cancelled') = (cancelled_at IS NOT NULL)", name="ck_booking_cancelled"),
    )
    op.create_index("ix_booking_person", "booking", ["person", "id"])
    op.create_index("ix_booking_session_id", "booking", ["session_id", "id"])
    op.create_index(
        "uq_booking_active",
        "booking",
        ["district", "session_id", "person"],
        unique=True,
        postgresql_where=sa.text("state = 'booked'"),
    )
    migrate.placed("booking")
    # A seat is taken and given back by the person who sits there; staff only look.
    migrate.protect(
        "booking",
        scoped="SELECT",
        person="SELECT, INSERT, UPDATE (state, cancelled_at, version)",
        person_column="person",
    )
