"""What tickets are about, to find those about the same."""

from linli import migrate

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    migrate.index("ix_ticket_subject", "ticket (subject, id) WHERE subject IS NOT NULL")
