"""The tickets that a department was called to, newest first; with the unit, by which row-level security has them."""

from linli import migrate

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    migrate.index("ix_whistle_department_ticket", "whistle (district, department, ticket_id) INCLUDE (unit)")
