"""Which tickets are for a department, to show its staff those and no others."""

from linli import migrate

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    migrate.index("ix_ticket_department", "ticket (department, id) WHERE department IS NOT NULL")
