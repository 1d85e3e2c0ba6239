"""Files, places, and what Open311 keeps."""

import sqlalchemy as sa
from alembic import op

from linli import migrate

revision = "0006"
down_revision = "0005b"


def upgrade() -> None:
    _files()
    _places()
    _open311()


def _files() -> None:
    migrate.table(
        "ticket_file",
        sa.Column("ticket_id", sa.Uuid, nullable=False),
        sa.Column("reporter", sa.Uuid, nullable=False),
        sa.Column("slot", sa.SmallInteger),
        sa.Column("uploader", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("width", sa.BigInteger),
        sa.Column("height", sa.BigInteger),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
        sa.Column("removed_by", sa.Uuid),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["district", "ticket_id"], ["ticket.district", "ticket.id"], name="fk_ticket_file_ticket"
        ),
        # At most 20 a ticket, however many come at once; what was removed gives its place back.
        sa.UniqueConstraint("district", "ticket_id", "slot", name="uq_ticket_file_slot"),
        sa.CheckConstraint("slot BETWEEN 1 AND 20", name="ck_ticket_file_slot"),
        sa.CheckConstraint(
            "(slot IS NULL) = (removed_at IS NOT NULL) AND (removed_at IS NULL) = (removed_by IS NULL)",
            name="ck_ticket_file_removed",
        ),
        sa.CheckConstraint("kind IN ('jpeg', 'png', 'webp', 'pdf')", name="ck_ticket_file_kind"),
        sa.CheckConstraint(
            "(kind = 'pdf') = (width IS NULL) AND (width IS NULL) = (height IS NULL)", name="ck_ticket_file_pixels"
        ),
        sa.CheckConstraint("size > 0", name="ck_ticket_file_size"),
    )
    op.create_index("ix_ticket_file_ticket_id", "ticket_file", ["district", "ticket_id", "id"])
    migrate.protect(
        "ticket_file",
        worker="SELECT, INSERT, UPDATE",
        person="SELECT, INSERT, UPDATE (slot, removed_at, removed_by, version)",
        person_column="reporter",
    )
    # A reporter may have his report placed where his photo was taken.
    op.execute("GRANT UPDATE (latitude, longitude) ON ticket TO linli_person")


def _places() -> None:
    migrate.table(
        "place",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("latitude", sa.Double),
        sa.Column("longitude", sa.Double),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("district", "code", name="uq_place_code"),
        sa.CheckConstraint(
            "(latitude IS NULL) = (longitude IS NULL)"
            " AND latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180",
            name="ck_place_point",
        ),
    )
    op.create_index("ix_place_unit", "place", ["unit", "id"])
    # Whoever scans a code may learn what place it is; where things stand is no secret in a district.
    migrate.protect("place", worker="SELECT", person="SELECT")


def _open311() -> None:
    migrate.table(
        "open311_key",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("made_by", sa.Uuid, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("district", "digest", name="uq_open311_key_digest"),
        sa.CheckConstraint("length(digest) = 32", name="ck_open311_key_digest"),
    )
    migrate.protect("open311_key")
    migrate.table(
        "open311_update",
        sa.Column("ticket_id", sa.Uuid, nullable=False),
        sa.Column("key_id", sa.Uuid, nullable=False),
        sa.Column("update_id", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["district", "ticket_id"], ["ticket.district", "ticket.id"], name="fk_open311_update_ticket"
        ),
        sa.ForeignKeyConstraint(
            ["district", "key_id"], ["open311_key.district", "open311_key.id"], name="fk_open311_update_key"
        ),
        sa.UniqueConstraint("district", "key_id", "update_id", name="uq_open311_update_update_id"),
    )
    migrate.protect("open311_update", scoped="SELECT, INSERT")
