"""The whistles of a unit and of a grid, newest first."""

from linli import migrate

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    migrate.index("ix_whistle_unit", "whistle (unit, id)")
    migrate.index("ix_whistle_unit_grid", "whistle (unit_grid, id)")
