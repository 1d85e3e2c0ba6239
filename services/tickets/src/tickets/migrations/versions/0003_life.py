"""Categories, the working calendar, and a ticket's longer life."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from linli import migrate

revision = "0003"
down_revision = "0002"

_WITH_DEFAULT = (
    "level text NOT NULL DEFAULT 'community'",
    "visibility text NOT NULL DEFAULT 'district'",
    "confirmed boolean NOT NULL DEFAULT false",
    "reopened smallint NOT NULL DEFAULT 0",
    "followers smallint NOT NULL DEFAULT 0",
    "source text NOT NULL DEFAULT 'app'",
)
_COLUMNS = (
    "department text",
    "outcome text",
    "parent uuid",
    "folded_into uuid",
    "reference text",
    "latitude double precision",
    "longitude double precision",
    "subject_kind text",
    "subject text",
    "answers jsonb",
    "clocks jsonb",
    "level_due_at timestamptz",
    "confirm_due_at timestamptz",
)
_WIDER = {
    "state": "state IN ('open', 'assigned', 'waiting', 'split', 'resolved', 'closed')",
    "assignee": "(state <> 'open' OR assignee IS NULL) AND (state <> 'assigned' OR assignee IS NOT NULL)",
    "resolved": (
        "(resolved_at IS NULL) = (resolved_by IS NULL) AND (state <> 'resolved' OR resolved_at IS NOT NULL)"
        " AND (resolved_at IS NULL OR state IN ('resolved', 'closed'))"
        " AND (state <> 'closed' OR resolved_at IS NOT NULL OR outcome IN ('withdrawn', 'duplicate'))"
    ),
}
_NEW = {
    "level": "level IN ('community', 'street', 'district')",
    "visibility": "visibility IN ('public', 'district', 'private')",
    "outcome": (
        "outcome IS NULL OR state = 'closed'"
        " AND outcome IN ('fixed', 'not_fixed', 'withdrawn', 'duplicate', 'no_answer')"
    ),
    "confirmed": "NOT confirmed OR outcome IN ('fixed', 'not_fixed')",
    "folded": "folded_into IS NULL OR state = 'closed' AND outcome = 'duplicate' AND folded_into <> id",
    "parent": "parent IS NULL OR parent <> id AND state <> 'split'",
    "source": "source IN ('app', 'hotline', 'patrol', 'open311', 'qr')",
    "place": (
        "(latitude IS NULL) = (longitude IS NULL)"
        " AND (latitude IS NULL OR latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180)"
    ),
    "subject": (
        "(subject_kind IS NULL) = (subject IS NULL)"
        " AND (subject_kind IS NULL OR subject_kind IN ('resident', 'household', 'organisation', 'place'))"
    ),
}


def upgrade() -> None:
    _categories()
    _calendar()
    _rules()
    _followers()
    op.add_column("ticket_entry", sa.Column("state", sa.String))
    op.add_column("ticket_entry", sa.Column("facts", JSONB))
    _tickets()
    _offices()


def _offices() -> None:
    """Show who holds which office in all of a district, which is no secret: a step that raises a ticket tells them."""
    reach = (
        "district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer"
        " AND (current_setting('app.hi')::bigint / 1000000000000)::integer"
    )
    op.execute(
        "-- wider: the released code asks for those over one ticket's unit, and finds all of them\n"
        "-- squawk-ignore ban-alter-policy-condition\n"
        f"ALTER POLICY known_assignment_scoped ON known_assignment USING ({reach}) WITH CHECK ({reach})"
    )
    for way in ("worker", "person"):
        migrate.policy("known_assignment", way, reach)
        op.execute(f"GRANT SELECT ON known_assignment TO linli_{way}")


def _categories() -> None:
    op.create_table(
        "category",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("code", sa.String, nullable=False),
        sa.Column("parent", sa.String),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("name_en", sa.String, nullable=False),
        sa.Column("answer_minutes", sa.Integer),
        sa.Column("solve_minutes", sa.Integer),
        sa.Column("confirm_minutes", sa.Integer),
        sa.Column("level", sa.String, nullable=False),
        sa.Column("department", sa.String),
        sa.Column("form", JSONB),
        sa.Column("visibility", sa.String, nullable=False),
        sa.Column("weight", sa.SmallInteger, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "code", name="pk_category"),
        sa.ForeignKeyConstraint(
            ["district", "parent"], ["category.district", "category.code"], name="fk_category_parent"
        ),
        sa.CheckConstraint("parent <> code", name="ck_category_parent"),
        sa.CheckConstraint("level IN ('community', 'street', 'district')", name="ck_category_level"),
        sa.CheckConstraint("visibility IN ('public', 'district', 'private')", name="ck_category_visibility"),
        sa.CheckConstraint("weight BETWEEN 1 AND 100", name="ck_category_weight"),
        sa.CheckConstraint(
            "answer_minutes > 0 AND solve_minutes > 0 AND confirm_minutes > 0", name="ck_category_minutes"
        ),
    )
    migrate.placed("category", known=False)
    migrate.protect("category", by="district", worker="SELECT", person="SELECT")


def _calendar() -> None:
    op.create_table(
        "work_calendar",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("working", sa.Boolean, nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "day", name="pk_work_calendar"),
    )
    migrate.placed("work_calendar", known=False)
    migrate.protect("work_calendar", by="district", worker="SELECT", person="SELECT")


def _rules() -> None:
    # One row a district, new with every change of its categories or calendar: a copy in memory is held against it.
    op.create_table(
        "district_rules",
        sa.Column("district", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("district", name="pk_district_rules"),
    )
    migrate.placed("district_rules", known=False)
    migrate.protect("district_rules", by="district", worker="SELECT", person="SELECT")


def _followers() -> None:
    op.create_table(
        "ticket_follower",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
        sa.Column("ticket_id", sa.Uuid, nullable=False),
        sa.Column("reporter", sa.Uuid, nullable=False),
        sa.Column("follower", sa.Uuid, nullable=False),
        sa.Column("folded", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_ticket_follower"),
        sa.ForeignKeyConstraint(
            ["district", "ticket_id"], ["ticket.district", "ticket.id"], name="fk_ticket_follower_ticket"
        ),
        sa.ForeignKeyConstraint(
            ["district", "folded"], ["ticket.district", "ticket.id"], name="fk_ticket_follower_folded"
        ),
        sa.UniqueConstraint("district", "ticket_id", "folded", name="uq_ticket_follower_folded"),
    )
    migrate.placed("ticket_follower")
    migrate.protect(
        "ticket_follower",
        scoped="SELECT, INSERT",
        worker="SELECT, INSERT",
        person="SELECT",
        person_column="reporter",
    )


def _tickets() -> None:
    """Widen the ticket, last, as that locks out readers until commit; what has a default is nothing to old code."""
    for column in _WITH_DEFAULT:
        op.execute(
            "-- the released code writes none, and gets the default\n"
            f"-- squawk-ignore ban-new-write-restriction\nALTER TABLE ticket ADD COLUMN {column}"
        )
    for column in _COLUMNS:
        op.execute(f"ALTER TABLE ticket ADD COLUMN {column}")
    for name, condition in _WIDER.items():
        op.execute(
            "-- wider: the released code writes only what both allow\n"
            f"-- squawk-ignore ban-drop-constraint\nALTER TABLE ticket DROP CONSTRAINT ck_ticket_{name}"
        )
        _hold(f"ck_ticket_{name}", f"CHECK ({condition})")
    for name, condition in _NEW.items():
        _hold(f"ck_ticket_{name}", f"CHECK ({condition})")
    for column in ("parent", "folded_into"):
        key = f"FOREIGN KEY (district, {column}) REFERENCES ticket (district, id)"
        _hold(f"fk_ticket_{column}", key)
    op.execute(
        "GRANT UPDATE (outcome, confirmed, reopened, level, resolved_at, resolved_by, clocks,"
        " answer_due_at, solve_due_at, level_due_at, confirm_due_at) ON ticket TO linli_person"
    )


def _hold(name: str, condition: str) -> None:
    """Hold the rows to come; those there were held to something narrower, or have the columns' defaults."""
    op.execute(
        "-- the released code writes nothing that this refuses\n"
        f"-- squawk-ignore ban-new-write-restriction\nALTER TABLE ticket ADD CONSTRAINT {name} {condition} NOT VALID"
    )
