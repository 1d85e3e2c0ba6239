"""Who wrote a wish down for somebody else, who may not confirm it himself: staff then record his word."""

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.execute(
        "-- of a column that the released code does not write\n-- squawk-ignore ban-new-write-restriction\n"
        "ALTER TABLE wish_person"
        " ADD COLUMN listed_by uuid CONSTRAINT ck_wish_person_listed_by CHECK (listed_by <> wisher)"
    )
