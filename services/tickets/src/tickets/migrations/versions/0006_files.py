"""Files, places, and what Open311 keeps."""

revision = "0006"
down_revision = "0005b"


def upgrade() -> None:
    """Begun in the next change."""
