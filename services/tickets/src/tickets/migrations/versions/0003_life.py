"""Categories, the working calendar, and a ticket's longer life."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Begun in the next change."""
