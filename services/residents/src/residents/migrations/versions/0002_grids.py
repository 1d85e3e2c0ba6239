"""The residents of a grid in the order of lists."""

from linli import migrate

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    migrate.index("ix_resident_unit_grid_unit", "resident (unit_grid, unit, id)")
