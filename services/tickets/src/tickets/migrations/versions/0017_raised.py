"""Tickets that were raised, and those that did not come by an app, newest first: most that are new are in neither."""

from linli import migrate

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    migrate.index("ix_ticket_level", "ticket (level, id) WHERE level <> 'community'")
    migrate.index("ix_ticket_source", "ticket (source, id) WHERE source <> 'app'")
