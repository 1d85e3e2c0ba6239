"""Books."""

import sqlalchemy as sa
from alembic import op

from linli import migrate

revision = "0001"
down_revision = None


def upgrade() -> None:
    migrate.chassis(known_units=True)
    op.create_table(
        "book",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner", sa.Uuid, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_book"),
        # Checked at commit, so that a commit can be made to fail.
        sa.UniqueConstraint("district", "number", name="uq_book_number", deferrable=True, initially="DEFERRED"),
        sa.CheckConstraint("title <> 'forbidden'", name="ck_book_title"),
    )
    migrate.placed("book")
    migrate.protect("book", worker="SELECT, INSERT", person="SELECT, INSERT", person_column="owner")
