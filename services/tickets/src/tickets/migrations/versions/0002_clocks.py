"""Clocks of tickets: when an answer and a solution are due."""

import sqlalchemy as sa
from alembic import op

from linli import migrate

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    migrate.sql("timer")
    # Code that knows no clocks runs on beside this: it leaves both empty. Last, as it locks out readers until commit.
    op.add_column("ticket", sa.Column("answer_due_at", sa.DateTime(timezone=True)))
    op.add_column("ticket", sa.Column("solve_due_at", sa.DateTime(timezone=True)))
