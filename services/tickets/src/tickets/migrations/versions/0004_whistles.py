"""Departments, whistles, and figures."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Begun in the next change."""
