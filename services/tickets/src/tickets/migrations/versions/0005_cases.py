"""Cases, errands, lists and wishes."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Begun in the next change."""
