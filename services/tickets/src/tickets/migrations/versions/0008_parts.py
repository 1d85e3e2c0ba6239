"""The parts of a ticket."""

from linli import migrate

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    migrate.index("ix_ticket_parent", "ticket (district, parent) WHERE parent IS NOT NULL")
