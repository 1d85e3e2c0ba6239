"""What is not closed yet, for lists of it, duplicates and figures."""

from linli import migrate

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    migrate.index("ix_ticket_open", "ticket (unit, id) WHERE closed_at IS NULL")
