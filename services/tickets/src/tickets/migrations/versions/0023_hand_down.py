"""What belongs to a ticket moves with it when it is handed down to a unit below."""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    # Where it lies, and no more: the trail and the rest are only ever added to.
    for table in ("ticket_entry", "ticket_follower", "open311_update"):
        op.execute(f"GRANT UPDATE (unit) ON {table} TO linli_scoped")
