"""Buildings, households and residents; keys and the audit log of their personal data."""

import sqlalchemy as sa
from alembic import op

from linli import migrate

revision = "0001"
down_revision = None

_PLACE = (
    ("district", sa.Integer),
    ("id", sa.Uuid),
    ("unit", sa.BigInteger),
)

# How a household is made up is kept beside it, because counting 400,000 people anew takes too long and birthdays
# forbid keeping the final figures. In the database, so that no way of writing can forget it. It locks the
# households first and counts in a second statement, which sees what others committed while it waited.
_RECOUNT = """
CREATE FUNCTION household_recount() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    districts integer[];
    touched uuid[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT district), array_agg(DISTINCT household_id) INTO districts, touched FROM after;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT district), array_agg(DISTINCT household_id) INTO districts, touched FROM before;
    ELSE
        SELECT array_agg(DISTINCT district), array_agg(DISTINCT household_id) INTO districts, touched FROM (
            (SELECT district, id, household_id, born_on, lives_here FROM before
             EXCEPT SELECT district, id, household_id, born_on, lives_here FROM after)
            UNION ALL
            (SELECT district, id, household_id, born_on, lives_here FROM after
             EXCEPT SELECT district, id, household_id, born_on, lives_here FROM before)
        ) AS changed;
    END IF;
    IF touched IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM FROM household WHERE district = ANY (districts) AND id = ANY (touched)
        ORDER BY district, id FOR NO KEY UPDATE;
    UPDATE household SET residents = found.residents, living = found.living, youngest_born_on = found.youngest
    FROM (
        SELECT h.district, h.id, count(r.id) AS residents, count(r.id) FILTER (WHERE r.lives_here) AS living,
            max(r.born_on) FILTER (WHERE r.lives_here) AS youngest
        FROM household h LEFT JOIN resident r ON r.district = h.district AND r.household_id = h.id
        WHERE h.district = ANY (districts) AND h.id = ANY (touched)
        GROUP BY h.district, h.id
    ) AS found
    WHERE household.district = found.district AND household.id = found.id;
    RETURN NULL;
END $$
"""


def _place() -> list[sa.Column[object]]:
    grid = sa.Computed("unit - unit % 1000", persisted=True)
    return [
        *(sa.Column(name, kind, nullable=False) for name, kind in _PLACE),
        sa.Column("unit_grid", sa.BigInteger, grid, nullable=False),
    ]


def upgrade() -> None:
    migrate.chassis(known_units=True)
    migrate.sql("data_key")
    migrate.sql("audit")
    op.create_table(
        "known_building",
        *_place(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_known_building"),
        sa.UniqueConstraint("district", "id", "unit", name="uq_known_building_unit"),
    )
    op.create_index("ix_known_building_unit", "known_building", ["unit"], postgresql_include=["active"])
    # A copy of others' state: it may arrive before the unit it names.
    migrate.placed("known_building", known=False)
    migrate.protect("known_building", worker="SELECT")
    op.create_table(
        "household",
        *_place(),
        sa.Column("building_id", sa.Uuid, nullable=False),
        sa.Column("staircase", sa.SmallInteger),
        sa.Column("door", sa.Text, nullable=False),
        sa.Column("residents", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("living", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("youngest_born_on", sa.Date),
        sa.PrimaryKeyConstraint("district", "id", name="pk_household"),
        sa.UniqueConstraint("district", "id", "unit", name="uq_household_unit"),
        sa.UniqueConstraint(
            "district", "building_id", "staircase", "door", name="uq_household_door", postgresql_nulls_not_distinct=True
        ),
        # With the unit in the key a building is never split, and moving it moves its households, these their people.
        sa.ForeignKeyConstraint(
            ["district", "building_id", "unit"],
            ["known_building.district", "known_building.id", "known_building.unit"],
            name="fk_household_building",
            onupdate="CASCADE",
        ),
        sa.CheckConstraint("living BETWEEN 0 AND residents", name="ck_household_living"),
        sa.CheckConstraint("(living = 0) = (youngest_born_on IS NULL)", name="ck_household_youngest"),
    )
    op.create_index(
        "ix_household_unit", "household", ["unit"], postgresql_include=["residents", "living", "youngest_born_on"]
    )
    op.create_index("ix_household_unit_grid", "household", ["unit_grid"])
    migrate.placed("household")
    changes = "UPDATE (residents, living, youngest_born_on)"
    migrate.protect("household", scoped=f"SELECT, INSERT, {changes}", worker=f"SELECT, INSERT, {changes}")
    op.create_table(
        "resident",
        *_place(),
        sa.Column("household_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("gender", sa.Text, nullable=False),
        sa.Column("born_on", sa.Date, nullable=False),
        sa.Column("lives_here", sa.Boolean, nullable=False),
        sa.Column("phone_cipher", sa.LargeBinary),
        sa.Column("phone_index", sa.LargeBinary),
        sa.Column("id_number_cipher", sa.LargeBinary),
        sa.Column("id_number_index", sa.LargeBinary),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_resident"),
        sa.UniqueConstraint("district", "id_number_index", name="uq_resident_id_number"),
        sa.ForeignKeyConstraint(
            ["district", "household_id", "unit"],
            ["household.district", "household.id", "household.unit"],
            name="fk_resident_household",
            onupdate="CASCADE",
        ),
        sa.CheckConstraint("gender IN ('female', 'male')", name="ck_resident_gender"),
        sa.CheckConstraint("(phone_cipher IS NULL) = (phone_index IS NULL)", name="ck_resident_phone"),
        sa.CheckConstraint("(id_number_cipher IS NULL) = (id_number_index IS NULL)", name="ck_resident_id_number"),
    )
    op.create_index("ix_resident_unit", "resident", ["unit", "id"])
    op.create_index("ix_resident_unit_grid", "resident", ["unit_grid"])
    op.create_index("ix_resident_household", "resident", ["district", "household_id"])
    op.create_index("ix_resident_phone", "resident", ["district", "phone_index"])
    op.create_index("ix_resident_name", "resident", ["district", "name"])
    migrate.placed("resident")
    migrate.protect("resident", worker="SELECT, INSERT, UPDATE")
    op.execute(_RECOUNT)
    for act, tables in (
        ("INSERT", "NEW TABLE AS after"),
        ("UPDATE", "OLD TABLE AS before NEW TABLE AS after"),
        ("DELETE", "OLD TABLE AS before"),
    ):
        op.execute(
            f"CREATE TRIGGER resident_{act.lower()} AFTER {act} ON resident REFERENCING {tables}"
            " FOR EACH STATEMENT EXECUTE FUNCTION household_recount()"
        )
